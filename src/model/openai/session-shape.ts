// The session configuration as it goes on the wire. Rules:
// SH1: the audio formats are the plane's (they follow from the leg), whatever the agent's settings say.
// SH2: turn detection, transcription and noise reduction are the agent's when it states them, else the plane's.
// SH3: create_response and interrupt_response are always sent: the provider's defaults are not documented.
// SH4: who ends turns is read from the configuration as it is sent, not from the form in which an agent wrote it.
// SH6: the caller's turn is over when he has been quiet for what the configuration says, and QUIET_MARGIN_MS more; with a semantic
//      detection, for the longest that its eagerness waits. Where code ends turns it is never known.
// SH5: every session bounds the tokens of an answer: by what the agent states, else by MODEL_MAX_OUTPUT_TOKENS.
import type { TurnTaking } from '../../call/ports.ts'
import { record } from './wire.ts'

/** Where a configuration names its voice. */
export const VOICE_PATH = 'audio.output.voice'

/** What the plane puts where the agent is silent (wire shape). */
export type SessionDefaults = {
  audio: 'pcmu' | 'pcm16'
  turnDetection: Record<string, unknown>
  transcription: Record<string, unknown> | null
  voice: string | undefined
  bargeIn: boolean
  autoRespond: boolean
  /** Tokens of one answer, at most; left out: the provider's own bound. */
  maxOutputTokens?: number
}

const QUIET_MARGIN_MS = 500
/** The provider's default. */
const SILENCE_MS = 500
/** The longest that the provider's semantic detection waits, by eagerness; `auto` is `medium`. */
const SEMANTIC_WAIT_MS: Record<string, number> = { low: 8_000, medium: 4_000, auto: 4_000, high: 2_000 }

const FORMATS = { pcmu: { type: 'audio/pcmu' }, pcm16: { type: 'audio/pcm', rate: 24_000 } } as const

/** Completes the SDK's payload. `model` leaves it: it is fixed by the address of the link. */
export function shapeSession(payload: Record<string, unknown>, defaults: SessionDefaults): Record<string, unknown> {
  const { model: _model, ...session } = payload
  const audio = record(session.audio)
  const input = record(audio.input)
  const output = record(audio.output)
  const format = FORMATS[defaults.audio]
  const turnDetection = input.turn_detection === null ? null : withFlags(record(input.turn_detection), defaults)
  const maxOutputTokens = session.max_output_tokens ?? defaults.maxOutputTokens
  return {
    ...session,
    ...(maxOutputTokens === undefined ? {} : { max_output_tokens: maxOutputTokens }),
    audio: {
      input: { ...input, format, turn_detection: turnDetection },
      output: { ...output, format },
    },
  }
}

function withFlags(turnDetection: Record<string, unknown>, defaults: SessionDefaults): Record<string, unknown> {
  const given = Object.entries(turnDetection).filter(([, value]) => value !== undefined)
  return { create_response: defaults.autoRespond, interrupt_response: defaults.bargeIn, ...Object.fromEntries(given) }
}

/** The voice that a configuration names: a name, or the provider's object. */
export function voiceOf(session: Record<string, unknown> | undefined): unknown {
  return valueAt(session ?? {}, VOICE_PATH) ?? undefined
}

/** The same configuration with another voice; `undefined` leaves the choice to the provider. */
export function withVoice(session: Record<string, unknown>, voice: unknown): Record<string, unknown> {
  return withValue(session, VOICE_PATH, voice)
}

/** The same configuration without the voice: a conversation that has spoken refuses another one (cannot_update_voice). */
export function withoutVoice(session: Record<string, unknown>): Record<string, unknown> {
  return withValue(session, VOICE_PATH, undefined)
}

/** What stands at `path` of a configuration, whose names have dots between; undefined: nothing. */
export function valueAt(session: Record<string, unknown>, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, name) => record(inner)[name], session)
}

/** The same configuration with another value at `path`; `undefined` takes it out. */
export function withValue(session: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const [name = '', ...rest] = path.split('.')
  const { [name]: inner, ...others } = session
  if (rest.length > 0) return { ...session, [name]: withValue(record(inner), rest.join('.'), value) }
  return value === undefined ? others : { ...session, [name]: value }
}

/** [SH4] Who ends turns under `session`, a configuration in wire shape. */
export function turnTakingIn(session: Record<string, unknown>): TurnTaking {
  const detection = record(record(session.audio).input).turn_detection
  if (detection === null) return { autoRespond: false, interrupts: false }
  const { create_response, interrupt_response } = record(detection)
  return { autoRespond: create_response !== false, interrupts: interrupt_response !== false }
}

/** [SH6] After how many ms of quiet the caller's turn is over under `session`, in wire shape; undefined: code decides. */
export function quietAfterMs(session: Record<string, unknown>): number | undefined {
  const detection = record(record(session.audio).input).turn_detection
  if (detection === null) return undefined
  const { type, eagerness, silence_duration_ms: silenceMs } = record(detection)
  if (type === 'semantic_vad') {
    return (
      (SEMANTIC_WAIT_MS[typeof eagerness === 'string' ? eagerness : 'auto'] ?? SEMANTIC_WAIT_MS.low!) + QUIET_MARGIN_MS
    )
  }
  return (typeof silenceMs === 'number' ? silenceMs : SILENCE_MS) + QUIET_MARGIN_MS
}
