// What an operator's module exports, read as a whole. Rules:
// AX1: first found wins: `pack`, `default`, `createAgent`, `agent`, `getStartingAgent`; else a lone RealtimeAgent or a lone list
//      of them (the first begins), under any name.
// AX2: CommonJS counts by what is in `module.exports`, whether tsc wrote it or a person.
// AX3: an export that looks like a misspelt or misplaced setting is refused; a guardrail that nothing uses is refused too.
//      One that only its name brings near a setting is warned about. Other exports are the module's own affair: they are named in
//      the log.
import { nearlySpelt } from '../kit/spelling.ts'
import { isAgent, isTextAgent } from './agent-shape.ts'
import type { Greeting, Pack, PackAgent, PackCall, PackSession, ToolEffect } from './pack.ts'
import {
  isGuardrail,
  isSessionOption,
  nearestOf,
  OWN_OPTION_NAMES,
  type PlaneLimits,
  readSessionOptions,
  unknown,
} from './session-options.ts'

type Values = Readonly<Record<string, unknown>>
/** What stands beside the agent and completes each of its calls. */
export type Beside = Omit<PackCall, 'agent'>
export type Entry = { name: string; value: unknown }
type CallReading = { kind: 'read'; call: PackCall } | { kind: 'refused'; problem: string }

const ENTRY_NAMES = ['pack', 'default', 'createAgent', 'agent', 'getStartingAgent'] as const
const BESIDE_NAMES = ['options', 'greeting', 'voice', 'modelAudio', 'toolEffects', 'onSession'] as const
const CALL_NAMES: readonly string[] = [
  ...['agent', 'agents', 'options', 'context', 'voice', 'greeting', 'toolEffects', 'onSession', 'close'],
]
const EFFECTS: readonly unknown[] = ['keyed', 'read', 'once'] satisfies ToolEffect[]

const isRecord = (value: unknown): value is Values => typeof value === 'object' && value !== null
const isPlain = (value: unknown): value is Values =>
  isRecord(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value))

/** AX2: the exports, whatever module system they were written for. */
export function unwrap(exports: Values): Values {
  const main = exports.default
  if (Object.keys(exports).length > 1 || !isRecord(main)) return exports
  if (main.__esModule === true) return { ...main }
  return isPlain(main) && main.agent === undefined && !isPack(main) ? { ...main } : exports
}

/** AX1. */
export function findEntry(exports: Values): Entry | undefined {
  const named = ENTRY_NAMES.filter((name) => exports[name] !== undefined)
  const found = named.find((name) => isUsable(exports[name])) ?? named[0]
  if (found !== undefined && (isUsable(exports[found]) || lone(exports) === undefined))
    return { name: found, value: exports[found] }
  return lone(exports)
}

function isUsable(value: unknown): boolean {
  return typeof value === 'function' || isAgent(value) || isPack(value) || (isRecord(value) && isAgent(value.agent))
}

function lone(exports: Values): Entry | undefined {
  const agents = Object.entries(exports).filter(([, value]) => isAgent(value))
  const lists = Object.entries(exports).filter(([, value]) => isAgentList(value))
  const one = agents.length === 1 ? agents[0] : agents.length === 0 && lists.length === 1 ? lists[0] : undefined
  if (one === undefined) return undefined
  const [name, value] = one
  return { name, value: isAgentList(value) ? value[0] : value }
}

const isAgentList = (value: unknown): value is unknown[] =>
  Array.isArray(value) && value.length > 0 && value.every(isAgent)

/** Why a module gives no agent, with the fix. */
export function describeMissing(exports: Values): string {
  const names = Object.keys(exports)
  const agents = names.filter((name) => isAgent(exports[name]))
  if (agents.length > 1)
    return `exports several agents: ${agents.join(', ')}. Export the one that answers as \`agent\`, or a function \`getStartingAgent\``
  const session = names.find((name) => isSession(exports[name]))
  if (session !== undefined)
    return `exports a RealtimeSession as \`${session}\`. The plane makes a session for each call: export its agent as \`agent\`, its options as \`options\`, and add listeners in \`onSession(session)\``
  const has = names.length === 0 ? 'nothing' : names.join(', ')
  const near = names.map((name) => nearestOf(name, ENTRY_NAMES)).find((name) => name !== undefined)
  const hint = near === undefined ? '' : ` Did you mean \`${near}\`?`
  return `exports ${has}.${hint} Export a RealtimeAgent as \`agent\` or as default (or \`createAgent\`, \`pack\`).`
}

const isSession = (value: unknown): boolean =>
  isRecord(value) && isAgent(value.initialAgent) && typeof value.updateAgent === 'function'

/** AX3: `refused` are problems, `unused` names without a meaning, `near` those of them that are spelt almost like a setting. `isMadePerCall`: what a call uses is known only then. */
export function readOthers(
  exports: Values,
  entry: Entry,
  beside: Beside,
): { refused: string[]; unused: string[]; near: { name: string; nearest: string }[]; guardrails: string[] } {
  const refused: string[] = []
  const unused: string[] = []
  const nearby: { name: string; nearest: string }[] = []
  const guardrails: string[] = []
  const used = new Set<unknown>(beside.outputGuardrails)
  if (isRecord(entry.value)) for (const one of guardrailsIn(entry.value)) used.add(one)
  const known: readonly string[] = [...ENTRY_NAMES, ...BESIDE_NAMES]
  for (const [name, value] of Object.entries(exports)) {
    if (known.includes(name) || name === entry.name || name === '__esModule') continue
    const near = nearestOf(name, BESIDE_NAMES)
    if (OWN_OPTION_NAMES.includes(name)) refused.push(`exports \`${name}\` beside the agent. Put it into \`options\``)
    else if (near !== undefined && exports[near] === undefined && looksLike(near, value))
      refused.push(`exports \`${name}\`, which is unknown. Did you mean \`${near}\`?`)
    else if (guardrailsIn(value).some((one) => !used.has(one))) guardrails.push(name)
    else {
      unused.push(name)
      const nearest = nearlySpelt(name, BESIDE_NAMES)
      if (nearest !== undefined && exports[nearest] === undefined) nearby.push({ name, nearest })
    }
  }
  return { refused, unused, near: nearby, guardrails }
}

function looksLike(name: (typeof BESIDE_NAMES)[number], value: unknown): boolean {
  if (name === 'options') return isPlain(value) && Object.keys(value).some(isSessionOption)
  if (name === 'greeting') return isPlain(value) && 'kind' in value
  if (name === 'toolEffects') return isEffects(value)
  return name === 'onSession' ? typeof value === 'function' : typeof value === 'string'
}

function guardrailsIn(value: unknown): unknown[] {
  if (isGuardrail(value)) return [value]
  if (Array.isArray(value)) return value.filter(isGuardrail)
  if (!isPlain(value)) return []
  const inside = [value.outputGuardrails, isPlain(value.options) ? value.options.outputGuardrails : undefined]
  return inside.flatMap((list) => (Array.isArray(list) ? list.filter(isGuardrail) : []))
}

/** Agents that the module exports: they may come to be in charge without a handoff that leads to them. */
export function exportedAgents(exports: Values): PackAgent[] {
  const found = Object.values(exports).flatMap((value) => (isAgentList(value) ? value : isAgent(value) ? [value] : []))
  return [...new Set(found as PackAgent[])]
}

/** What stands beside the agent; `problems` are sentences without the file's name. */
export function readBeside(exports: Values, plane: PlaneLimits): { beside: Beside; problems: string[] } {
  const problems: string[] = []
  const beside: Values & Record<string, unknown> = {}
  const { options, greeting, voice, toolEffects, onSession } = exports
  if (options !== undefined) {
    const reading = readSessionOptions(options, 'options', plane)
    if (reading.kind === 'refused') problems.push(...reading.problems)
    else Object.assign(beside, reading.options)
  }
  if (greeting !== undefined) {
    if (isGreeting(greeting)) beside.greeting = greeting
    else problems.push("`greeting` is neither { kind: 'agent', instructions } nor { kind: 'caller-first' }")
  }
  if (voice !== undefined) {
    if (typeof voice === 'string') beside.voice = voice
    else problems.push('`voice` is no string')
  }
  if (toolEffects !== undefined) {
    if (isEffects(toolEffects)) beside.toolEffects = toolEffects
    else problems.push("`toolEffects` is no object that gives each tool's name 'keyed', 'read' or 'once'")
  }
  if (onSession !== undefined) {
    if (typeof onSession === 'function') beside.onSession = onSession as (session: PackSession) => void
    else problems.push('`onSession` is no function of the session')
  }
  return { beside: beside as Beside, problems }
}

/** What the model hears and speaks, where the module says so. */
export function readModelAudio(value: unknown): { audio: 'pcmu' | 'pcm16' | undefined; problems: string[] } {
  if (value === undefined || value === 'pcmu' || value === 'pcm16') return { audio: value, problems: [] }
  return { audio: undefined, problems: ["`modelAudio` is neither 'pcmu' nor 'pcm16'"] }
}

/** An agent, or an object with an agent, as one call's settings. `what` names it. */
export function readCall(value: unknown, what: string, beside: Beside, plane: PlaneLimits): CallReading {
  if (isAgent(value)) return { kind: 'read', call: { ...beside, agent: value } }
  if (isAgentList(value)) return readCall(value[0], what, beside, plane)
  if (isRecord(value) && isAgent(value.agent)) return readParts(value, what, beside, plane)
  if (isTextAgent(value) || (isRecord(value) && isTextAgent(value.agent)))
    return refuse(`${what} is an Agent of the SDK's text side. Make it with \`new RealtimeAgent({ … })\``)
  if (isSession(value))
    return refuse(`${what} is a RealtimeSession. Give its agent: the plane makes a session for each call`)
  const kind = isRecord(value) ? (value.constructor?.name ?? 'object') : typeof value
  return refuse(`${what} is no RealtimeAgent and no { agent: RealtimeAgent } but a value of type ${kind}`)
}

function readParts(value: Values, what: string, beside: Beside, plane: PlaneLimits): CallReading {
  const given: Record<string, unknown> = {}
  const options: Record<string, unknown> = {}
  const problems: string[] = []
  const known = [...CALL_NAMES, 'modelAudio', ...OWN_OPTION_NAMES]
  for (const [name, one] of Object.entries(value)) {
    if (one === undefined || name === 'modelAudio') continue
    if (CALL_NAMES.includes(name)) given[name] = one
    else if (isSessionOption(name)) options[name] = one
    else problems.push(unknown(name, known, what.replaceAll('`', '')))
  }
  const { beside: own, problems: others } = readBeside(given, plane)
  problems.push(...others)
  const direct = readSessionOptions(options, what.replaceAll('`', ''), plane)
  if (direct.kind === 'refused') problems.push(...direct.problems)
  if (given.context !== undefined && !isRecord(given.context)) problems.push(`\`context\` of ${what} is no object`)
  if (given.close !== undefined && typeof given.close !== 'function')
    problems.push(`\`close\` of ${what} is no function`)
  if (given.agents !== undefined && !isAgentList(given.agents))
    problems.push(`\`agents\` of ${what} is no list of RealtimeAgents`)
  if (problems.length > 0 || direct.kind === 'refused') return refuse(problems.join('; '))
  // Bound, so that an author's object may use `this`.
  const bound = Object.fromEntries(
    ['onSession', 'close'].flatMap((name) => {
      const one = given[name]
      return typeof one === 'function' ? [[name, one.bind(value)]] : []
    }),
  )
  const { context, agents } = given
  const named = { ...(context === undefined ? {} : { context }), ...(agents === undefined ? {} : { agents }) }
  const parts = { ...beside, ...direct.options, ...own, ...named, ...bound }
  return { kind: 'read', call: { ...parts, agent: given.agent } as PackCall }
}

const refuse = (problem: string): CallReading => ({ kind: 'refused', problem })

function isGreeting(greeting: unknown): greeting is Greeting {
  return isRecord(greeting) && (greeting.kind === 'agent' || greeting.kind === 'caller-first')
}

function isEffects(value: unknown): value is Record<string, ToolEffect> {
  return isPlain(value) && Object.values(value).every((effect) => EFFECTS.includes(effect))
}

export function isPack(value: unknown): value is Pack {
  return (
    isRecord(value) &&
    typeof value.openCall === 'function' &&
    typeof value.name === 'string' &&
    typeof value.version === 'string'
  )
}

/** A class is no function that makes agents. */
export function isClass(value: unknown): boolean {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))
}
