// The session's configuration and session.update. Rules:
// G1: only fields that are present change; objects such as turn_detection and transcription are replaced whole.
// G2: the first problem refuses the whole update.
// G3: the model never changes; the voice not after the first audio.

import type { EarSettings } from '../hearing/ears.ts'
import type { Check } from '../kit/checks.ts'
import { invalidValue, isObject, type Problem } from '../kit/checks.ts'
import type { AudioFormat } from '../voice/fragments.ts'
import type { McpTool } from './mcp.ts'

type TurnDetection =
  | {
      type: 'server_vad'
      threshold: number
      prefix_padding_ms: number
      silence_duration_ms: number
      idle_timeout_ms: number | null
      create_response: boolean
      interrupt_response: boolean
    }
  | { type: 'semantic_vad'; eagerness: string; create_response: boolean; interrupt_response: boolean }

export type FunctionTool = { type: 'function'; name: string; description?: string; parameters?: unknown }

export type SessionConfig = {
  type: 'realtime' | 'transcription'
  object: 'realtime.session'
  id: string
  model: string
  output_modalities: string[]
  instructions: string
  tools: (FunctionTool | McpTool)[]
  tool_choice: unknown
  max_output_tokens: number | 'inf'
  tracing: unknown
  prompt: unknown
  truncation: unknown
  expires_at: number
  audio: {
    input: {
      format: { type: AudioFormat; rate?: number }
      transcription: Record<string, unknown> | null
      noise_reduction: unknown
      turn_detection: TurnDetection | null
    }
    output: { format: { type: AudioFormat; rate?: number }; voice: unknown; speed: number }
  }
  include: unknown
}

const SERVER_VAD: TurnDetection = {
  type: 'server_vad',
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
  idle_timeout_ms: null,
  create_response: true,
  interrupt_response: true,
}
const SEMANTIC_VAD: TurnDetection = {
  type: 'semantic_vad',
  eagerness: 'auto',
  create_response: true,
  interrupt_response: true,
}
/** Semantic detection is only simulated: the silence that ends a turn, by eagerness. */
const SEMANTIC_SILENCE_MS: Record<string, number> = { low: 1600, medium: 1000, auto: 1000, high: 600 }

/** The configuration a session is created with. */
export function newConfig(id: string, model: string, expiresAtSeconds: number): SessionConfig {
  const format = { type: 'audio/pcm', rate: 24000 } as const
  return {
    type: 'realtime',
    object: 'realtime.session',
    id,
    model,
    output_modalities: ['audio'],
    instructions: 'Be a helpful and friendly assistant who speaks briefly and clearly.',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    tracing: null,
    prompt: null,
    truncation: 'auto',
    expires_at: expiresAtSeconds,
    audio: {
      input: { format, transcription: null, noise_reduction: null, turn_detection: { ...SERVER_VAD } },
      output: { format, voice: 'alloy', speed: 1 },
    },
    include: null,
  }
}

/** The configuration after an update, or what is wrong with it; `check` looks at the update's shape. */
export function updateConfig(
  config: SessionConfig,
  update: unknown,
  hasSpoken: boolean,
  check: Check,
): { kind: 'updated'; config: SessionConfig } | { kind: 'refused'; problem: Problem } {
  const problem = check(update, 'session') ?? immutableProblem(config, update as Partial<SessionConfig>, hasSpoken)
  if (problem !== undefined) return { kind: 'refused', problem }
  const { audio, ...plain } = update as Partial<SessionConfig>
  const given = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined))
  const input = { ...config.audio.input, ...audio?.input }
  input.turn_detection = wholeTurnDetection(input.turn_detection)
  const next = { ...config, ...given, audio: { input, output: { ...config.audio.output, ...audio?.output } } }
  return { kind: 'updated', config: { ...next, id: config.id, object: config.object, expires_at: config.expires_at } }
}

/** What the ears need to know of a configuration. */
export function earSettings(detection: TurnDetection | null): EarSettings {
  if (detection === null) return null
  if (detection.type === 'semantic_vad') {
    return { threshold: 0.5, silenceMs: SEMANTIC_SILENCE_MS[detection.eagerness] ?? 1000, prefixMs: 300 }
  }
  const { threshold, silence_duration_ms: silenceMs, prefix_padding_ms: prefixMs } = detection
  return { threshold, silenceMs, prefixMs }
}

function wholeTurnDetection(given: TurnDetection | null): TurnDetection | null {
  if (given === null) return null
  const defaults = given.type === 'semantic_vad' ? SEMANTIC_VAD : SERVER_VAD
  const present = Object.entries(given).filter(([, value]) => value !== undefined)
  return { ...defaults, ...Object.fromEntries(present) } as TurnDetection
}

function immutableProblem(
  config: SessionConfig,
  update: Partial<SessionConfig>,
  hasSpoken: boolean,
): Problem | undefined {
  if (update.model !== undefined && update.model !== config.model) {
    return invalidValue('session.model', `The model of a session cannot be changed; it is '${config.model}'.`)
  }
  const voice = isObject(update.audio) ? update.audio.output?.voice : undefined
  if (hasSpoken && voice !== undefined && JSON.stringify(voice) !== JSON.stringify(config.audio.output.voice)) {
    const message = "Cannot update a conversation's voice if assistant audio is present."
    return { code: 'cannot_update_voice', message, param: null }
  }
  return undefined
}
