// The operator's own agent (AGENT_MODULE). Rules:
// UA1: a module written for the agents SDK alone, which exports a RealtimeAgent, runs as it is.
// UA2: what it may export, first found wins: `pack`, `default`, `createAgent`, `agent`; each a RealtimeAgent, a Pack, a
//     PackCall, or a function of the call that gives one of the last two or an agent. Beside it, all optional:
//     `options` (the SDK's session options), `greeting`, `voice`, `modelAudio`, `onSession(session)`.
// UA3: whatever is wrong with it is said at start, in a sentence that names the file and the fix; never at the first call
//     when it could be seen before.
// UA4: tools find the call as `runContext.context.call` (a CallControl), beside whatever context the module gives.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { RealtimeAgent } from '@openai/agents-realtime'
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { CallControl, Greeting, Pack, PackAgent, PackCall, PackSession, PackSessionOptions } from './pack.ts'
import { moduleUrl, shareSdk } from './sdk-resolution.ts'

type Exports = Record<string, unknown>
/** What stands beside the agent and completes each of its calls. */
type Beside = PackSessionOptions & Pick<PackCall, 'context' | 'voice' | 'greeting' | 'onSession'>

const ENTRY_NAMES = ['pack', 'default', 'createAgent', 'agent'] as const
const SESSION_OPTIONS = [
  'outputGuardrails',
  'outputGuardrailSettings',
  'config',
  'toolExecution',
  'toolErrorFormatter',
] as const

/** Loads the module at `path` (relative to `baseDir`, default the working directory) as a pack. Throws AGENT_FAILED. */
export async function loadUserAgent(path: string, options: { baseDir?: string } = {}): Promise<Pack> {
  const file = resolve(options.baseDir ?? '.', path)
  const source = await readSource(file)
  shareSdk()
  const exports = await importModule(file)
  const found = ENTRY_NAMES.find((name) => exports[name] !== undefined)
  if (found === undefined) {
    const names = Object.keys(exports)
    const has = names.length === 0 ? 'nothing' : names.join(', ')
    throw failed(
      file,
      `exports ${has}. Export a RealtimeAgent as \`agent\` or as default (or \`createAgent\`, \`pack\`).`,
    )
  }
  const entry = exports[found]
  if (isPack(entry)) return entry
  const beside = readBeside(file, exports)
  return {
    name: basename(file, extname(file)),
    version: createHash('sha256').update(source).digest('hex').slice(0, 12),
    modelAudio: readModelAudio(file, exports),
    openCall: makeOpenCall(file, found, entry, beside),
  }
}

async function readSource(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw failed(file, `cannot be read (${messageOf(error)}). Set AGENT_MODULE to the path of a module file.`, error)
  }
}

async function importModule(file: string): Promise<Exports> {
  try {
    return (await import(moduleUrl(file))) as Exports
  } catch (error) {
    throw failed(file, `could not be loaded: ${messageOf(error)}`, error)
  }
}

function makeOpenCall(file: string, name: string, entry: unknown, beside: Beside): Pack['openCall'] {
  if (typeof entry === 'function') {
    if (isClass(entry))
      throw failed(file, `exports a class as \`${name}\`. Export an instance, or a function that makes one.`)
    const create = entry as (call: CallControl) => unknown
    return async (call) => {
      let made: unknown
      try {
        made = await create(call)
      } catch (error) {
        throw failed(file, `\`${name}\` threw: ${messageOf(error)}`, error)
      }
      return withCall(toPackCall(file, `what \`${name}\` returned`, made, beside), call)
    }
  }
  const shared = toPackCall(file, `\`${name}\``, entry, beside)
  return (call) => withCall(shared, call)
}

function withCall(packCall: PackCall, call: CallControl): PackCall {
  return { ...packCall, context: { call, ...packCall.context } }
}

function toPackCall(file: string, what: string, value: unknown, beside: Beside): PackCall {
  if (value instanceof RealtimeAgent) return { ...beside, agent: value as PackAgent }
  if (isRecord(value) && value.agent instanceof RealtimeAgent) return { ...beside, ...(value as unknown as PackCall) }
  const kind = isRecord(value) ? (value.constructor?.name ?? 'object') : typeof value
  if (kind === 'Agent') {
    throw failed(file, `${what} is an Agent of the SDK's text side. Make it with \`new RealtimeAgent({ … })\`.`)
  }
  throw failed(file, `${what} is no RealtimeAgent and no { agent: RealtimeAgent } but a value of type ${kind}.`)
}

function readBeside(file: string, exports: Exports): Beside {
  const beside: Record<string, unknown> = {}
  const options = exports.options
  if (options !== undefined) {
    if (!isRecord(options))
      throw failed(file, 'exports `options` that is no object. Give the SDK session options there.')
    for (const name of [...SESSION_OPTIONS, 'context'] as const) {
      if (options[name] !== undefined) beside[name] = options[name]
    }
  }
  const { greeting, voice, onSession } = exports
  if (greeting !== undefined) beside.greeting = readGreeting(file, greeting)
  if (voice !== undefined) {
    if (typeof voice !== 'string') throw failed(file, 'exports `voice` that is no string.')
    beside.voice = voice
  }
  if (onSession !== undefined) {
    if (typeof onSession !== 'function') throw failed(file, 'exports `onSession` that is no function of the session.')
    beside.onSession = onSession as (session: PackSession) => void
  }
  return beside
}

function readGreeting(file: string, greeting: unknown): Greeting {
  if (isRecord(greeting) && (greeting.kind === 'agent' || greeting.kind === 'caller-first')) return greeting as Greeting
  throw failed(file, "exports `greeting` that is neither { kind: 'agent', instructions } nor { kind: 'caller-first' }.")
}

function readModelAudio(file: string, exports: Exports): 'pcmu' | 'pcm16' | undefined {
  const audio = exports.modelAudio
  if (audio === undefined || audio === 'pcmu' || audio === 'pcm16') return audio
  throw failed(file, "exports `modelAudio` that is neither 'pcmu' nor 'pcm16'.")
}

function isPack(value: unknown): value is Pack {
  return (
    isRecord(value) &&
    typeof value.openCall === 'function' &&
    typeof value.name === 'string' &&
    typeof value.version === 'string'
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isClass(value: unknown): boolean {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))
}

function failed(file: string, problem: string, cause?: unknown): VoiceError {
  return new VoiceError('AGENT_FAILED', { message: `The agent module ${file} ${problem}`, cause })
}
