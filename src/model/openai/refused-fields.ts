// A setting that the provider refuses costs that setting, not the call. Rules:
// RFF1: a refused configuration whose `param` lies in one of FIELDS is sent again without that value: first with the plane's own where it
//       has another, then without any. Any other refusal stands, and so does one beyond REFUSED_MAX.
// RFF2: a value that was refused stays out of all later configurations of the session; another value of the same setting is tried.
// RFF3: a part that has no meaning alone (a transcription without its model, a detection without its type) goes with the whole.
// RFF4: a turn detection that goes leaves who answers and who interrupts as they were (SH3).
// RFF5: a pod logs a refused setting once, with the provider's words. `/ready`, which anybody may ask, names the setting alone, as a warning.
import { type SessionDefaults, VOICE_PATH, valueAt, withValue } from './session-shape.ts'
import { record } from './wire.ts'

type Wire = Record<string, unknown>

/** What a conversation can do without, with the parts that have no meaning alone. `null`: it has none that could go alone. */
const FIELDS: Readonly<Record<string, readonly string[] | null>> = {
  [VOICE_PATH]: null,
  'audio.output.speed': null,
  'audio.input.noise_reduction': null,
  'audio.input.transcription': ['model'],
  'audio.input.turn_detection': ['type', 'create_response', 'interrupt_response'],
  max_output_tokens: null,
  truncation: null,
  tracing: null,
  reasoning: null,
  include: null,
  parallel_tool_calls: null,
}
/** The older names by which providers may tell of the same settings. */
const OLDER_NAMES: Readonly<Record<string, string>> = {
  voice: VOICE_PATH,
  speed: 'audio.output.speed',
  input_audio_noise_reduction: 'audio.input.noise_reduction',
  input_audio_transcription: 'audio.input.transcription',
  turn_detection: 'audio.input.turn_detection',
  max_response_output_tokens: 'max_output_tokens',
}
const REFUSED_MAX = 12
const TOLD_MAX = 50

/** Where the setting stands that the `param` of a refusal speaks of; undefined: nothing that may be left out. [RFF3] */
function refusedPath(param: unknown): string | undefined {
  if (typeof param !== 'string') return undefined
  const [first = '', ...after] = param
    .replace(/^session\./, '')
    .replace(/\[.*$/, '')
    .split('.')
  const path = [OLDER_NAMES[first] ?? first, ...after].join('.')
  const field = Object.keys(FIELDS).find((name) => path === name || path.startsWith(`${name}.`))
  if (field === undefined) return undefined
  const [part] = path.slice(field.length + 1).split('.')
  const bound = FIELDS[field]
  return bound === null || bound === undefined || !part || bound.includes(part) ? field : `${field}.${part}`
}

/** The values that the provider refused in one session. */
export class RefusedFields {
  readonly #defaults: SessionDefaults
  readonly #values = new Map<string, string[]>()
  #count = 0

  constructor(defaults: SessionDefaults) {
    this.#defaults = defaults
  }

  /** Takes note that `sent` was refused for `param`; the setting's path when another try without its value is worth it. [RFF1] */
  refuse(sent: Wire, param: unknown): string | undefined {
    const path = refusedPath(param)
    const value = path === undefined ? undefined : valueAt(sent, path)
    if (path === undefined || value === undefined || this.#count >= REFUSED_MAX) return undefined
    this.#count += 1
    this.#values.set(path, [...(this.#values.get(path) ?? []), JSON.stringify(value)])
    return path
  }

  isRefused(path: string, value: unknown): boolean {
    return this.#values.get(path)?.includes(JSON.stringify(value)) === true
  }

  /** `session` in wire shape, without what was refused. [RFF2] */
  without(session: Wire): Wire {
    let left = session
    for (const path of this.#values.keys()) {
      const value = valueAt(left, path)
      if (value === undefined || !this.isRefused(path, value)) continue
      const instead = this.#standIn(path, value)
      left = withValue(left, path, this.isRefused(path, instead) ? undefined : instead)
    }
    return left
  }

  #standIn(path: string, value: unknown): unknown {
    const { transcription, maxOutputTokens } = this.#defaults
    if (path === 'audio.input.transcription') return transcription ?? undefined
    if (path === 'max_output_tokens') return maxOutputTokens
    if (path !== 'audio.input.turn_detection') return undefined
    const { create_response, interrupt_response } = record(value)
    return { type: 'server_vad', create_response, interrupt_response }
  }
}

/** What the provider refused in any call of this pod. [RFF5] */
export class SettingRefusals {
  readonly #told = new Set<string>()
  readonly #settings = new Set<string>()

  /** True the first time. `words` are the provider's, within a bound. */
  tell(setting: string, words: string): boolean {
    const key = `${setting} ${words}`
    if (this.#told.has(key) || this.#told.size >= TOLD_MAX) return false
    this.#told.add(key)
    this.#settings.add(setting)
    return true
  }

  warnings(): string[] {
    return [...this.#settings].map(
      (setting) => `the model refused the setting ${setting} (MODEL_SETTING_REFUSED in the log)`,
    )
  }
}
