// Changes of the session's configuration by an agent's code, told from the whole configuration of an agent. Rules:
// SC1: only fields that are present change, as at the provider. `audio.input` and `audio.output` are merged by their fields; a turn detection
//      is merged with one of its type, or of none, and else replaced.
// SC2: what is in force is remembered whole: every later link begins with it. What code has changed is remembered by itself too, for
//      another pod, until the whole configuration of an agent sets the same field.
import type { RealtimeSessionConfig } from '@openai/agents-realtime'
import { record } from './wire.ts'

type Wire = Record<string, unknown>
type Config = Partial<RealtimeSessionConfig>

/** Is this the configuration that the SDK makes of an agent, as at its start and with a handoff? It names all of these. */
export function isWholeConfig(config: Config): boolean {
  return ['instructions', 'tools', 'tracing', 'prompt'].every((key) => Object.hasOwn(config, key))
}

/** Of `payload`, which the SDK has filled with its defaults, the fields that `config` gave (old spellings and new). */
export function onlyGiven(payload: Wire, config: Config): Wire {
  const given = config as Wire
  const { input: inputGiven, output: outputGiven } = record(given.audio) as { input?: Wire; output?: Wire }
  const has = (...values: unknown[]): boolean => values.some((value) => value !== undefined)
  const { model: _model, type, audio, output_modalities, tool_choice, ...rest } = payload
  const { input, output } = record(audio) as { input: Wire; output: Wire }
  const inputNow = {
    ...(has(inputGiven?.noiseReduction, given.inputAudioNoiseReduction)
      ? { noise_reduction: input.noise_reduction }
      : {}),
    ...(has(inputGiven?.transcription, given.inputAudioTranscription) ? { transcription: input.transcription } : {}),
    ...(has(inputGiven?.turnDetection, given.turnDetection) ? { turn_detection: input.turn_detection } : {}),
  }
  const outputNow = {
    ...(has(outputGiven?.voice, given.voice) ? { voice: output.voice } : {}),
    ...(has(outputGiven?.speed, given.speed) ? { speed: output.speed } : {}),
  }
  return {
    ...defined(rest),
    type,
    ...(has(given.outputModalities, given.modalities) ? { output_modalities } : {}),
    ...(has(given.toolChoice) ? { tool_choice } : {}),
    ...withAudio(inputNow, outputNow),
  }
}

/** `base` with the fields of `change` (SC1). */
export function changed(base: Wire, change: Wire): Wire {
  const { audio: before, ...rest } = base
  const { audio, ...fields } = defined(change)
  const [was, now] = [record(before), record(audio)]
  const input = { ...record(was.input), ...defined(record(now.input)) }
  const detection = mergedDetection(record(was.input).turn_detection, record(now.input).turn_detection)
  if (detection !== undefined) input.turn_detection = detection
  const output = { ...record(was.output), ...defined(record(now.output)) }
  return { ...rest, ...fields, ...withAudio(input, output) }
}

/** `change` without the fields that `whole` sets (SC2). */
export function without(change: Wire, whole: Wire): Wire {
  const { audio, ...fields } = change
  const [mine, others] = [record(audio), record(whole.audio)]
  return {
    ...left(fields, whole),
    ...withAudio(left(record(mine.input), record(others.input)), left(record(mine.output), record(others.output))),
  }
}

function mergedDetection(before: unknown, now: unknown): unknown {
  if (typeof now !== 'object' || now === null || typeof before !== 'object' || before === null) return now
  const { type } = now as Wire
  return type === undefined || type === (before as Wire).type ? { ...before, ...now } : now
}

function left(fields: Wire, taken: Wire): Wire {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => taken[key] === undefined))
}

function defined(fields: Wire): Wire {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function withAudio(input: Wire, output: Wire): Wire {
  const audio = {
    ...(Object.keys(input).length === 0 ? {} : { input }),
    ...(Object.keys(output).length === 0 ? {} : { output }),
  }
  return Object.keys(audio).length === 0 ? {} : { audio }
}
