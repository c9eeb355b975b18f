// The SDK's session options, as an operator's module gives them. Rules:
// SO1: each option is obeyed, or refused by its name with the reason. None is dropped in silence, least of all a guardrail.
// SO2: an unknown option is refused with the nearest known one.
// SO3: the SDK's older flat settings (`turnDetection`, `inputAudioTranscription`, …) are put where its newer ones are: the SDK
//      itself ignores all of `audio` when a flat one is there.
import { bare, nearlySpelt } from '../kit/spelling.ts'
import type { PackSessionOptions } from './pack.ts'

type Values = Record<string, unknown>
/** Why a value cannot be obeyed; nothing when it can. */
type Refusal = (value: unknown, plane: PlaneLimits) => string | undefined
/** What follows from the plane's own settings. */
export type PlaneLimits = { canChooseModel: boolean; modelAudio: 'pcmu' | 'pcm16' | undefined }
type OptionsReading = { kind: 'read'; options: SessionOptions } | { kind: 'refused'; problems: string[] }
type SessionOptions = PackSessionOptions & { context?: object }

const obeyed = (): undefined => undefined
const because = (reason: string) => (): string => reason
const unless =
  (fine: unknown, reason: string): Refusal =>
  (value) =>
    value === fine ? undefined : reason
const kindOf =
  (fits: (value: unknown) => boolean, words: string): Refusal =>
  (value) =>
    fits(value) ? undefined : `is not ${words}`

const isRecord = (value: unknown): value is Values => typeof value === 'object' && value !== null
const isPlain = (value: unknown): value is Values => isRecord(value) && !Array.isArray(value)
const NOT_TRACED =
  "cannot be used: the SDK's tracing is off, so that what callers say leaves only through the model link"

/** Every option of the SDK's RealtimeSession. */
const OPTIONS: Readonly<Record<string, Refusal>> = {
  apiKey: because('cannot be used: the key is a setting of the plane (OPENAI_API_KEY). Remove it from the module'),
  transport: unless('websocket', 'cannot be used: the plane is the transport. Remove it'),
  model: (value, { canChooseModel }) => {
    if (typeof value !== 'string' || value === '') return 'is not the name of a model'
    return canChooseModel ? undefined : 'cannot be used: on Azure the deployment (AZURE_OPENAI_DEPLOYMENT) is the model'
  },
  context: kindOf(isPlain, 'an object'),
  outputGuardrails: kindOf(
    (value) => Array.isArray(value) && value.every(isGuardrail),
    'a list of guardrails, each with `name` and `execute`',
  ),
  outputGuardrailSettings: kindOf(isPlain, 'an object'),
  config: kindOf(isPlain, 'an object'),
  toolExecution: kindOf(isPlain, 'an object'),
  toolErrorFormatter: kindOf((value) => typeof value === 'function', 'a function'),
  automaticallyTriggerResponseForMcpToolCalls: kindOf((value) => typeof value === 'boolean', 'true or false'),
  historyStoreAudio: unless(false, 'cannot be used: audio does not pass through the SDK. Record calls at the carrier'),
  tracingDisabled: unless(true, NOT_TRACED),
  groupId: because(NOT_TRACED),
  traceMetadata: because(NOT_TRACED),
  workflowName: because(NOT_TRACED),
}

const OF_THE_AGENT = 'has no effect in the SDK: a session takes it from its agent. Set it there'
const isText = (value: unknown): boolean => typeof value === 'string'
const format: Refusal = (value, { modelAudio = 'pcmu' }) => {
  const type = isRecord(value) ? value.type : value
  const fits = modelAudio === 'pcmu' ? ['g711_ulaw', 'audio/pcmu'] : ['pcm16', 'audio/pcm']
  if (fits.includes(String(type))) return undefined
  return `asks for ${JSON.stringify(type)}, and calls use ${fits[1]}. Remove it, or export \`modelAudio\` ('pcmu' or 'pcm16')`
}
const speech: Refusal = (value) =>
  Array.isArray(value) && value.includes('audio') ? undefined : 'has no "audio": callers would hear nothing'

/** Every setting of `config`. */
const CONFIG: Readonly<Record<string, Refusal>> = {
  model: because('has no effect in the SDK: give `model` in `options`'),
  instructions: because(OF_THE_AGENT),
  tools: because(OF_THE_AGENT),
  prompt: because(OF_THE_AGENT),
  tracing: because(NOT_TRACED),
  toolChoice: obeyed,
  parallelToolCalls: obeyed,
  reasoning: obeyed,
  providerData: obeyed,
  outputModalities: speech,
  modalities: speech,
  audio: kindOf(isPlain, 'an object with `input` and `output`'),
  voice: kindOf(isText, 'the name of a voice'),
  inputAudioFormat: format,
  outputAudioFormat: format,
  inputAudioTranscription: obeyed,
  turnDetection: obeyed,
  inputAudioNoiseReduction: obeyed,
  speed: obeyed,
}
const AUDIO: Readonly<Record<string, Refusal>> = {
  input: kindOf(isPlain, 'an object'),
  output: kindOf(isPlain, 'an object'),
}
const INPUT: Readonly<Record<string, Refusal>> = {
  format,
  noiseReduction: obeyed,
  transcription: obeyed,
  turnDetection: obeyed,
}
const OUTPUT: Readonly<Record<string, Refusal>> = { format, voice: obeyed, speed: obeyed }

/** Where the flat settings belong (SO3). */
const FLAT: readonly (readonly [name: string, side: 'input' | 'output', nested: string])[] = [
  ['inputAudioTranscription', 'input', 'transcription'],
  ['turnDetection', 'input', 'turnDetection'],
  ['inputAudioNoiseReduction', 'input', 'noiseReduction'],
  ['voice', 'output', 'voice'],
  ['speed', 'output', 'speed'],
]

/** The names of the session options that nothing else is likely to be called. */
export const OWN_OPTION_NAMES: readonly string[] = Object.keys(OPTIONS).filter((name) => /[A-Z]/.test(name))
export const isSessionOption = (name: string): boolean => Object.hasOwn(OPTIONS, name)

/** Checks all options; what is refused is named `in.name`. An option that is undefined counts as left out. */
export function readSessionOptions(given: unknown, where: string, plane: PlaneLimits): OptionsReading {
  if (!isPlain(given)) return { kind: 'refused', problems: [`\`${where}\` is not an object of session options`] }
  const problems = problemsOf(given, OPTIONS, where, plane)
  const options: Values = {}
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value
  for (const name of ['apiKey', 'transport', 'historyStoreAudio', 'tracingDisabled']) delete options[name]
  if (isPlain(options.config)) {
    const config = options.config
    problems.push(...problemsOf(config, CONFIG, `${where}.config`, plane))
    const audio = isPlain(config.audio) ? config.audio : {}
    problems.push(...problemsOf(audio, AUDIO, `${where}.config.audio`, plane))
    for (const [side, known] of [
      ['input', INPUT],
      ['output', OUTPUT],
    ] as const)
      if (isPlain(audio[side])) problems.push(...problemsOf(audio[side], known, `${where}.config.audio.${side}`, plane))
    options.config = nested(config)
  }
  return problems.length > 0 ? { kind: 'refused', problems } : { kind: 'read', options: options as SessionOptions }
}

function problemsOf(
  given: Values,
  known: Readonly<Record<string, Refusal>>,
  where: string,
  plane: PlaneLimits,
): string[] {
  return Object.entries(given).flatMap(([name, value]) => {
    if (value === undefined) return []
    if (!Object.hasOwn(known, name)) return [unknown(name, Object.keys(known), where)]
    const problem = known[name]!(value, plane)
    return problem === undefined ? [] : [`\`${where}.${name}\` ${problem}`]
  })
}

/** SO3. A nested setting wins over its flat one. */
function nested(config: Values): Values {
  const { inputAudioFormat: _in, outputAudioFormat: _out, modalities, ...rest } = config
  const audio = isPlain(config.audio) ? config.audio : {}
  const sides: Record<'input' | 'output', Values> = {
    input: isPlain(audio.input) ? { ...audio.input } : {},
    output: isPlain(audio.output) ? { ...audio.output } : {},
  }
  for (const [name, side, inner] of FLAT) {
    const value = rest[name]
    delete rest[name]
    if (value !== undefined && sides[side][inner] === undefined) sides[side][inner] = value
  }
  for (const side of [sides.input, sides.output]) delete side.format
  const filled = Object.entries(sides).filter(([, side]) => Object.keys(side).length > 0)
  delete rest.audio
  return {
    ...rest,
    ...(modalities === undefined || rest.outputModalities !== undefined ? {} : { outputModalities: modalities }),
    ...(filled.length === 0 ? {} : { audio: Object.fromEntries(filled) }),
  }
}

/** A sentence about a name that means nothing, with the nearest that does (SO2). */
export function unknown(name: string, known: readonly string[], where: string): string {
  const nearest = nearestOf(name, known)
  const hint = nearest === undefined ? `Known are: ${known.join(', ')}` : `Did you mean \`${nearest}\`?`
  return `\`${where}.${name}\` is unknown. ${hint}`
}

/** The known name that is spelt almost so, or that is a part of the asked one, or has it as a part. */
export function nearestOf<Name extends string>(name: string, known: readonly Name[]): Name | undefined {
  const spelt = nearlySpelt(name, known)
  const asked = bare(name)
  if (spelt !== undefined || asked.length < 6) return spelt
  return known.find((candidate) => bare(candidate).includes(asked) || asked.includes(bare(candidate)))
}

/** An object as the SDK's guardrails are. */
export function isGuardrail(value: unknown): boolean {
  return (
    isRecord(value) && typeof value.name === 'string' && typeof value.execute === 'function' && value.type === undefined
  )
}
