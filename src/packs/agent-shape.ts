// What is an agent, and what of it a realtime session would ignore. Rules:
// GR1: an agent is known by its class, or by its shape where the module brings the SDK inside its own bundle: its background
//      results are then made the plane's, the rest of it is plain methods.
// GR2: guardrails on an agent are refused: a realtime session never runs them. Tools that it leaves out are named.
import { backgroundResult, RealtimeAgent } from '@openai/agents-realtime'
import type { PackAgent } from './pack.ts'

type Values = Record<string, unknown>
const AGENT_METHODS = ['getEnabledHandoffs', 'getAllTools', 'getSystemPrompt'] as const
/** The SDK's mark of a background result, by its description: the symbol of another copy is another one. */
const BACKGROUND = 'backgroundResult'
const AGENTS_MAX = 1_000

const isRecord = (value: unknown): value is Values => typeof value === 'object' && value !== null

/** Is it a RealtimeAgent, of this copy of the SDK or of another (GR1)? */
export function isAgent(value: unknown): value is PackAgent {
  if (value instanceof RealtimeAgent) return true
  return isRecord(value) && hasAgentMethods(value) && classNames(value).includes('RealtimeAgent')
}

/** An agent of the SDK's text side. */
export function isTextAgent(value: unknown): boolean {
  return isRecord(value) && hasAgentMethods(value) && !isAgent(value)
}

const hasAgentMethods = (value: Values): boolean => AGENT_METHODS.every((name) => typeof value[name] === 'function')

function classNames(value: object): string[] {
  const names: string[] = []
  for (let at: unknown = Object.getPrototypeOf(value); at !== null; at = Object.getPrototypeOf(at))
    names.push(String((at as { constructor?: { name?: string } }).constructor?.name).replace(/^_|\d+$/g, ''))
  return names
}

/** These agents and all that they can hand over to. */
export function agentsFrom(first: readonly PackAgent[]): PackAgent[] {
  const found = new Set(first)
  for (const agent of found) {
    if (found.size > AGENTS_MAX) break
    for (const one of (agent.handoffs ?? []) as unknown[]) {
      const next = isRecord(one) && isRecord(one.agent) ? one.agent : one
      if (isAgent(next)) found.add(next)
    }
  }
  return [...found]
}

/** Why a session would silently leave out a part of these agents; `refused` parts are guardrails (GR2). */
export function ignoredParts(agents: readonly PackAgent[]): { refused: string[]; warned: string[] } {
  const refused: string[] = []
  const warned: string[] = []
  for (const agent of agents) {
    const { name, tools } = agent
    const values = agent as unknown as Values
    for (const kind of ['outputGuardrails', 'inputGuardrails'] as const) {
      if (!Array.isArray(values[kind]) || values[kind].length === 0) continue
      const fix =
        kind === 'outputGuardrails'
          ? 'Put them into `options.outputGuardrails`'
          : 'Check what callers say in a tool, or in `onSession`'
      refused.push(`the agent ${name} has \`${kind}\`, which a realtime session never runs. ${fix}`)
    }
    for (const one of (agent.handoffs ?? []) as unknown[])
      if (isRecord(one) && isRecord(one.agent) && one.inputFilter !== undefined)
        warned.push(
          `the handoff of the agent ${name} to ${String(one.agent.name)} has an \`inputFilter\`, which a realtime session never asks: the model keeps its whole conversation`,
        )
    for (const tool of tools ?? [])
      if (tool.type !== 'function' && !(tool.type === 'hosted_tool' && tool.name === 'hosted_mcp'))
        warned.push(`the agent ${name} has the tool ${tool.name}, which realtime models do not know: it is left out`)
  }
  return { refused, warned }
}

/** Makes the background results of agents of another copy of the SDK the plane's (GR1). Idempotent. */
export function adoptAgents(agents: readonly PackAgent[]): void {
  for (const agent of agents) {
    if (agent instanceof RealtimeAgent) continue
    for (const tool of (agent as PackAgent).tools ?? []) {
      if (tool.type !== 'function' || adopted.has(tool)) continue
      adopted.add(tool)
      const { invoke } = tool
      tool.invoke = async (...args) => ownResult(await invoke.apply(tool, args)) as string
    }
  }
}

const adopted = new WeakSet<object>()

function ownResult(result: unknown): unknown {
  if (!isRecord(result)) return result
  const isBackground = Object.getOwnPropertySymbols(result).some(({ description }) => description === BACKGROUND)
  return isBackground ? backgroundResult(result.content as never) : result
}
