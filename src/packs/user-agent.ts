// The operator's own agent (AGENT_MODULE). Rules:
// UA1: a module written for the agents SDK alone, which exports a RealtimeAgent, runs as it is.
// UA2: what it may export, first found wins: `pack`, `default`, `createAgent`, `agent`, `getStartingAgent`, or one agent under any
//      name; each a RealtimeAgent, a Pack, a PackCall with `options`, or a function of the call that gives one of the last two
//      or an agent. Beside it, all optional: `options` (the SDK's session options), `greeting`, `voice`, `modelAudio`,
//      `toolEffects` (what may run again when a pod is lost), `onSession(session)`.
// UA3: whatever is wrong with it is said at start, in a sentence that names the file and the fix; never at the first call
//      when it could be seen before.
// UA4: tools find the call as `runContext.context.call` (a CallActions), beside whatever context the module gives.
// UA5: with `reload`, a changed file is loaded for the calls that come after it; live calls keep theirs. What does not load is
//      reported, and the last that loaded serves on.
// UA6: making the agent of one call has a bound.
// UA7: a voice that is not among the known ones is told at start, with those that are, and used all the same.
import { readFile, stat } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { messageOf, VoiceError } from '../kit/errors.ts'
import { type Log, silentLog } from '../kit/log.ts'
import { bundleAgent } from './agent-bundle.ts'
import {
  type Beside,
  describeMissing,
  type Entry,
  exportedAgents,
  findEntry,
  isClass,
  isPack,
  readBeside,
  readCall,
  readModelAudio,
  readOthers,
  unwrap,
} from './agent-exports.ts'
import { describeThrown, type Exports, importBundle } from './agent-import.ts'
import { unknownAgentKeys } from './agent-keys.ts'
import { adoptAgents, agentsFrom, ignoredParts } from './agent-shape.ts'
import { KNOWN_VOICES, unknownVoices } from './known-voices.ts'
import type { CallActions, Pack, PackCall } from './pack.ts'
import { shareSdk } from './sdk-resolution.ts'
import { nearestOf, type PlaneLimits } from './session-options.ts'

/** How long a module may take to load, ms. */
const LOAD_MS = 30_000
/** How long a function of the module may take to make the agent of a call, ms: a caller waits. */
const CREATE_MAX_MS = 10_000

export type LoadOptions = {
  /** What a relative path starts from; default the working directory. */
  baseDir?: string
  loadMs?: number
  reload?: boolean
  /** Default true; false where the model is fixed by its address. */
  canChooseModel?: boolean
  log?: Log
}

const SOURCE = /\.[cm]?[jt]sx?$/

type Loaded = { pack: Pack; files: readonly string[] }

/** Loads the module at `path` (relative to `baseDir`) as a pack. Throws AGENT_FAILED. */
export async function loadUserAgent(path: string, options: LoadOptions = {}): Promise<Pack> {
  const file = resolve(options.baseDir ?? '.', path)
  await assertReadable(file)
  shareSdk()
  const { reload = false } = options
  const first = await load(file, options)
  return reload ? reloading(file, first, options) : first.pack
}

async function assertReadable(file: string): Promise<void> {
  try {
    await readFile(file)
  } catch (error) {
    throw failed(file, `cannot be read (${messageOf(error)}). Set AGENT_MODULE to the path of a module file.`, error)
  }
  if (SOURCE.test(file)) return
  const cure = /\.pyw?$/.test(file)
    ? 'Write the RealtimeAgent in one of them, and let its tools ask your Python program over HTTP.'
    : 'Set AGENT_MODULE to a file that ends in .ts, .mts, .cts, .tsx, .js, .mjs, .cjs or .jsx.'
  const wanted = 'the plane runs agents of the OpenAI Agents SDK for JavaScript and TypeScript'
  throw failed(file, `is no JavaScript or TypeScript module: ${wanted}. ${cure}`)
}

async function load(file: string, options: LoadOptions): Promise<Loaded> {
  const bundle = await bundleAgent(file)
  if (bundle.kind === 'failed') throw failed(file, `could not be loaded: ${bundle.problem}`, bundle.cause)
  const { files, version } = bundle
  const loaded = await importBundle(file, bundle.code, options.loadMs ?? LOAD_MS, files)
  if (loaded.kind === 'failed') throw failed(file, loaded.problem, loaded.cause)
  await tellUnknownKeys(files, options.log ?? silentLog)
  return { pack: packOf(file, version, loaded.exports, options), files }
}

async function tellUnknownKeys(files: readonly string[], log: Log): Promise<void> {
  for (const file of files.filter((path) => SOURCE.test(path)))
    for (const { name, nearest, line, column } of unknownAgentKeys(await readFile(file, 'utf8').catch(() => '')))
      log.warn(
        { option: name, nearest, place: `${file}:${line}:${column}` },
        'a RealtimeAgent has no such option: it is left out',
      )
}

function packOf(file: string, version: string, raw: Exports, options: LoadOptions): Pack {
  const exports = unwrap(raw)
  const entry = findEntry(exports)
  if (entry === undefined) throw failed(file, describeMissing(exports))
  const { value } = entry
  if (isPack(value)) return value
  const inside = typeof value === 'object' && value !== null && 'modelAudio' in value ? value.modelAudio : undefined
  const { audio, problems } = readModelAudio(exports.modelAudio ?? inside)
  const plane: PlaneLimits = { canChooseModel: options.canChooseModel ?? true, modelAudio: audio }
  const { beside, problems: wrongBeside } = readBeside(exports, plane)
  problems.push(...wrongBeside)
  const agents = exportedAgents(exports)
  if (isClass(value)) problems.push(`\`${entry.name}\` is a class. Export an instance, or a function that makes one`)
  const { log = silentLog } = options
  const others = readOthers(exports, entry, beside)
  problems.push(...others.refused)
  for (const name of others.guardrails) {
    // A function's own options are known only when it has made them.
    if (typeof value === 'function')
      log.warn({ export: name }, 'guardrails that the agent module exports are not in its options')
    else
      problems.push(`exports guardrails as \`${name}\` that nothing runs. Put them into \`options.outputGuardrails\``)
  }
  if (problems.length > 0) throw failed(file, `${problems.join('; ')}.`)
  for (const { name, nearest } of others.near)
    log.warn({ export: name, nearest }, 'an export of the agent module does nothing: did you mean the nearest?')
  if (others.unused.length > 0)
    log.debug({ exports: others.unused }, 'exports of the agent module without a meaning here')
  return {
    name: basename(file, extname(file)),
    version,
    modelAudio: audio,
    openCall: makeOpenCall({
      file,
      entry,
      beside: agents.length === 0 ? beside : { ...beside, agents },
      plane,
      log,
      told: new Set(),
    }),
  }
}

type Made = { file: string; entry: Entry; beside: Beside; plane: PlaneLimits; log: Log; told: Set<string> }

function makeOpenCall(made: Made): Pack['openCall'] {
  const { file, entry, beside, plane } = made
  const { name, value } = entry
  if (typeof value !== 'function') {
    const shared = finished(made, readCall(value, `\`${name}\``, beside, plane))
    return (call) => withCall(shared, call)
  }
  const create = value as (call: CallActions) => unknown
  return async (call) => {
    const result = await bounded(file, name, () => create(call))
    return withCall(finished(made, readCall(result, `what \`${name}\` returned`, beside, plane)), call)
  }
}

/** UA6. */
async function bounded(file: string, name: string, create: () => unknown): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const problem = `\`${name}\` did not give an agent within ${CREATE_MAX_MS / 1_000} s`
    timer = setTimeout(() => reject(failed(file, problem)), CREATE_MAX_MS)
  })
  try {
    return await Promise.race([create(), late])
  } catch (error) {
    throw error instanceof VoiceError ? error : failed(file, `\`${name}\` threw: ${describeThrown(error)}`, error)
  } finally {
    clearTimeout(timer)
  }
}

function finished({ file, log, told }: Made, reading: ReturnType<typeof readCall>): PackCall {
  if (reading.kind === 'refused') throw failed(file, `${reading.problem}.`)
  const agents = agentsFrom([reading.call.agent, ...(reading.call.agents ?? [])])
  const { refused, warned } = ignoredParts(agents)
  if (refused.length > 0) throw failed(file, `${refused.join('; ')}.`)
  for (const reason of warned) log.warn({ code: 'AGENT_FAILED', reason }, 'a part of the agent is left out')
  const toolNames = agents.flatMap(({ tools }) => (tools ?? []).map(({ name }) => name))
  // An MCP server's tools are known only when it is asked: then any name may be one of them.
  const hasServers = agents.some(({ mcpServers, tools }) => mcpServers?.length > 0 || tools?.some(isHosted))
  for (const name of Object.keys(reading.call.toolEffects ?? {})) {
    if (toolNames.includes(name) || told.has(name)) continue
    told.add(name)
    const facts = { tool: name, nearest: nearestOf(name, toolNames) }
    if (hasServers) log.debug(facts, '`toolEffects` names a tool that no agent brings itself')
    else log.warn(facts, '`toolEffects` names a tool that no agent has')
  }
  for (const { setting, voice } of unknownVoices(reading.call)) {
    const key = `${setting} ${voice}`
    if (told.has(key)) continue
    told.add(key)
    log.warn(
      { setting, voice, nearest: nearestOf(voice, KNOWN_VOICES), known: KNOWN_VOICES.join(', ') },
      'a voice that is not among the known ones: should the model refuse it, calls get the voice of the model',
    )
  }
  adoptAgents(agents)
  return reading.call
}

const isHosted = ({ type }: { type: string }): boolean => type === 'hosted_tool'

function withCall(packCall: PackCall, call: CallActions): PackCall {
  return { ...packCall, context: { call, ...packCall.context } }
}

/** UA5. The name and the model's audio are those of the first: pods are set up by them. */
function reloading(file: string, first: Loaded, options: LoadOptions): Pack {
  const { log = silentLog } = options
  let current = first
  let stamp = stampOf(first.files)
  let underWay: Promise<void> | undefined
  const refresh = async (): Promise<void> => {
    const before = await stamp
    const now = await stampOf(current.files)
    if (now === before) return
    stamp = Promise.resolve(now)
    try {
      const next = await load(file, options)
      if (next.pack.modelAudio !== current.pack.modelAudio)
        log.warn({}, 'modelAudio of the agent module has changed: it needs a restart')
      current = next
      stamp = stampOf(next.files)
      log.info({ version: next.pack.version }, 'the agent module was loaded anew')
    } catch (error) {
      log.error(
        { code: 'AGENT_FAILED', reason: messageOf(error) },
        'the changed agent module does not load: calls get the last one',
      )
    }
  }
  return {
    name: first.pack.name,
    get version() {
      return current.pack.version
    },
    modelAudio: first.pack.modelAudio,
    async openCall(call) {
      underWay ??= refresh().finally(() => {
        underWay = undefined
      })
      await underWay
      return current.pack.openCall(call)
    },
  }
}

/** Size and time of each file, as one text. */
async function stampOf(files: readonly string[]): Promise<string> {
  const stamps = files.map(async (file) => {
    const found = await stat(file).catch(() => undefined)
    return found === undefined ? 'absent' : `${found.size}:${found.mtimeMs}`
  })
  return (await Promise.all(stamps)).join(' ')
}

function failed(file: string, problem: string, cause?: unknown): VoiceError {
  const colon = /^(?:`|what |the agent )/.test(problem) ? ':' : ''
  return new VoiceError('AGENT_FAILED', { message: `The agent module ${file}${colon} ${problem}`, cause })
}
