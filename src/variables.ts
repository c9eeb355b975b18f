// The environment variables of the plane: name, default, form. Rules:
// VA1: each variable is listed here once and on docs/configuration.md once; a test compares both ways.
// VA2: a form never guesses: text that does not fit is refused with the fix in words.
// VA3: what depends on two variables is decided in config-checks.ts, not here.
// VA4: the form is data too, so that schemas and pages are made from it and not written again.
import type { TransferRule } from './control/transfer-policy.ts'
import { readTransferRule, TRANSFER_RULE } from './control/transfer-rule.ts'
import { isLoopbackHost } from './kit/loopback.ts'
import { type Credential, readOperators } from './ops/operators.ts'
import { type Prices, readPrices } from './prices.ts'
import { readDataKeys, type Sealer } from './store/sealing/sealer.ts'
import type { Retention } from './work/erasures.ts'

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const IPV4 = `${OCTET}([.]${OCTET}){3}`
const GROUP = '[0-9A-Fa-f]{1,4}'
/** Up to seven groups with `::` between, before or behind them, or eight without. */
const IPV6 = [
  `(${GROUP}:){7}${GROUP}`,
  ...[6, 5, 4, 3, 2, 1].map((before) => `(${GROUP}:){1,${before}}(:${GROUP}){1,${7 - before}}`),
  `(${GROUP}:){1,7}:`,
  `:((:${GROUP}){1,7}|:)`,
].join('|')
/** An address, or a network with its bits. */
const NETWORK = `(${IPV4}(/(3[0-2]|[12]?[0-9]))?|(${IPV6})(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)`

/** The outcome of reading one text: its value, or what to write instead. */
type Parsed<T> = { kind: 'ok'; value: T } | { kind: 'bad'; fix: string }

/** What a text must look like. `words` and `parse` may ask for more than `text`: a form like `https://…` is an outline of it. */
export type Form =
  | { kind: 'integer' | 'decimal'; min: number; max: number }
  | { kind: 'choice'; choices: readonly string[] }
  | { kind: 'text'; pattern: RegExp }
  | { kind: 'url'; schemes: readonly string[]; plainToLoopback: boolean }

/** One variable: its default (`shown` as the page prints it) and the form of its text. */
export interface Variable<T> {
  fallback: T
  shown: string
  secret: boolean
  form: Form
  parse(text: string): Parsed<T>
}

const ok = <T>(value: T): Parsed<T> => ({ kind: 'ok', value })
const bad = (fix: string): { kind: 'bad'; fix: string } => ({ kind: 'bad', fix })

function integer(fallback: number, min: number, max: number): Variable<number> {
  return { ...optionalInteger(min, max), fallback, shown: String(fallback) } as Variable<number>
}

function optionalInteger(min: number, max: number): Variable<number | undefined> {
  const parse = (text: string): Parsed<number | undefined> => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? ok(value) : bad(`write a whole number from ${min} to ${max}`)
  }
  return { fallback: undefined, shown: 'unset', secret: false, form: { kind: 'integer', min, max }, parse }
}

function decimal(fallback: number, min: number, max: number): Variable<number> {
  const parse = (text: string): Parsed<number> => {
    const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? ok(value) : bad(`write a number from ${min} to ${max}`)
  }
  return { fallback, shown: String(fallback), secret: false, form: { kind: 'decimal', min, max }, parse }
}

function optionalDecimal(min: number, max: number): Variable<number | undefined> {
  return { ...decimal(min, min, max), fallback: undefined, shown: 'unset' } as Variable<number | undefined>
}

function oneOf<const T extends string, F extends T | undefined>(choices: readonly T[], fallback: F): Variable<T | F> {
  const parse = (text: string): Parsed<T | F> =>
    (choices as readonly string[]).includes(text) ? ok(text as T) : bad(`write one of: ${choices.join(', ')}`)
  return { fallback, shown: fallback ?? 'unset', secret: false, form: { kind: 'choice', choices }, parse }
}

function pattern<F extends string | undefined>(form: RegExp, words: string, fallback: F): Variable<string | F> {
  const parse = (text: string): Parsed<string | F> => (form.test(text) ? ok(text) : bad(`write ${words}`))
  return { fallback, shown: fallback ?? 'unset', secret: false, form: { kind: 'text', pattern: form }, parse }
}

/** `30`, `30,tenant-a=7` or `tenant-a=7`. */
function retention(): Variable<Retention | undefined> {
  const fix = 'write days from 1 to 36500, and tenants of their own after it: 30,tenant-a=7'
  const parse = (text: string): Parsed<Retention | undefined> => {
    let days: number | undefined
    const tenants: Record<string, number> = {}
    for (const part of text.split(',')) {
      const [, tenant, number] = /^\s*(?:([^=,\s]{1,100})=)?(\d{1,5})\s*$/.exec(part) ?? []
      const value = Number(number)
      if (!(value >= 1 && value <= 36_500)) return bad(fix)
      if (tenant !== undefined) tenants[tenant] = value
      else if (days === undefined) days = value
      else return bad(fix)
    }
    return ok({ days, tenants })
  }
  const part = String.raw`\s*(?:[^=,\s]{1,100}=)?\d{1,5}\s*`
  const form: Form = { kind: 'text', pattern: new RegExp(`^${part}(?:,${part})*$`) }
  return { fallback: undefined, shown: 'unset', secret: false, form, parse }
}

function transferRule(): Variable<TransferRule | undefined> {
  const fix = 'write countries, prefixes and addresses like DE,AT,+4420,sip:pbx.example.com,client:desk, or * or none'
  const parse = (text: string): Parsed<TransferRule | undefined> => {
    const rule = readTransferRule(text)
    return rule === undefined ? bad(fix) : ok(rule)
  }
  const form: Form = { kind: 'text', pattern: TRANSFER_RULE }
  return { fallback: undefined, shown: 'unset', secret: false, form, parse }
}

/** `10.0.0.0/8, 192.0.2.7`. */
function trustedProxies(): Variable<readonly string[] | undefined> {
  const fix = 'write addresses, or networks like 10.0.0.0/8, with commas between'
  const list = new RegExp(`^${NETWORK}( *, *${NETWORK})*$`)
  const parse = (text: string): Parsed<readonly string[] | undefined> =>
    list.test(text) ? ok(text.split(',').map((part) => part.trim())) : bad(fix)
  return { fallback: undefined, shown: 'unset', secret: false, form: { kind: 'text', pattern: list }, parse }
}

function prices(): Variable<Prices | undefined> {
  const form = /^\{.{1,2000}\}$/
  const parse = (text: string): Parsed<Prices | undefined> => {
    if (!form.test(text)) return bad('write a JSON object of one line like the one in docs/configuration.md')
    const read = readPrices(text)
    return read.kind === 'prices' ? ok(read.prices) : bad(read.fix)
  }
  return { fallback: undefined, shown: 'unset', secret: false, form: { kind: 'text', pattern: form }, parse }
}

function dataKeys(): Variable<Sealer | undefined> {
  const parse = (text: string): Parsed<Sealer | undefined> => {
    const read = readDataKeys(text)
    return read.kind === 'keys' ? ok(read.sealer) : bad(read.fix)
  }
  return { fallback: undefined, shown: 'unset', secret: true, form: { kind: 'text', pattern: /:/ }, parse }
}

function operatorTokens(): Variable<readonly Credential[] | undefined> {
  const parse = (text: string): Parsed<readonly Credential[] | undefined> => {
    const read = readOperators(text)
    return read.kind === 'operators' ? ok(read.operators) : bad(read.fix)
  }
  return { fallback: undefined, shown: 'unset', secret: true, form: { kind: 'text', pattern: /:.*:/ }, parse }
}

function secret(minCharacters: number): Variable<string | undefined> {
  const form = new RegExp(`^[\\x21-\\x7e]{${minCharacters},1000}$`)
  const words = `at least ${minCharacters} printable characters without spaces`
  return { ...pattern(form, words, undefined), secret: true }
}

function url(schemes: readonly string[], plainToLoopback: boolean): Variable<URL | undefined> {
  const secure = schemes.filter((scheme) => /^(https|wss)$/.test(scheme))
  const parse = (text: string): Parsed<URL | undefined> => {
    const value = URL.canParse(text) ? new URL(text) : undefined
    if (value === undefined || !schemes.includes(value.protocol.slice(0, -1)) || value.hostname === '') {
      return bad(`write a full URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`)
    }
    if (value.username !== '' || value.password !== '') return bad('take the user name and password out of the URL')
    if (value.hash !== '') return bad('take the # part out of the URL')
    const isPlain = !secure.includes(value.protocol.slice(0, -1))
    if (plainToLoopback && isPlain && !isLoopbackHost(value.hostname)) {
      return bad(`use ${secure[0]}:// ; without TLS only a loopback host is allowed`)
    }
    return ok(value)
  }
  const form: Form = { kind: 'url', schemes, plainToLoopback }
  return { fallback: undefined, shown: 'unset', secret: false, form, parse }
}

/** A URL that may hold a password: `schemes` in lowercase. */
function secretUrl(schemes: readonly string[]): Variable<string | undefined> {
  const words = `a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`
  const parse = (text: string): Parsed<string | undefined> =>
    URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)) ? ok(text) : bad(`write ${words}`)
  const form: Form = { kind: 'url', schemes, plainToLoopback: false }
  return { fallback: undefined, shown: 'unset', secret: true, form, parse }
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

const onOff = <const F extends 'on' | 'off'>(fallback: F) => oneOf(['on', 'off'], fallback)
const named = <F extends string | undefined>(fallback: F) =>
  pattern(NAME, 'a name of letters, digits and . _ : / -', fallback)

/** Every variable, in the order of the page. */
export const VARIABLES = {
  // Where it listens and how the carrier finds it
  HOST: pattern(/^[A-Za-z0-9_.:[\]-]{1,255}$/, 'a host name or an address to listen on', '127.0.0.1'),
  PORT: integer(8080, 0, 65_535),
  OPS_HOST: pattern(/^[A-Za-z0-9_.:[\]-]{1,255}$/, 'a host name or an address to listen on', undefined),
  OPS_PORT: optionalInteger(0, 65_535),
  PUBLIC_BASE_URL: url(['https', 'http'], true),
  TRUSTED_PROXIES: trustedProxies(),
  POD_NAME: pattern(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'lowercase letters, digits and dashes (63 at most, no dash first or last)',
    undefined,
  ),
  NODE_ENV: oneOf(['development', 'test', 'production'], 'development'),
  // Carrier
  TWILIO_ACCOUNT_SID: pattern(/^AC[0-9a-f]{32}$/, 'AC and 32 hexadecimal digits', undefined),
  TWILIO_AUTH_TOKEN: secret(16),
  TWILIO_AUTH_TOKEN_SECONDARY: secret(16),
  TWILIO_SIGNATURE_CHECK: onOff('on'),
  TWILIO_API_BASE_URL: url(['https', 'http'], false),
  STREAM_TOKEN_SECRET: secret(32),
  STREAM_TOKEN_SECRET_SECONDARY: secret(32),
  STREAM_TOKEN_TTL_MS: integer(60_000, 1_000, 10 * MINUTE_MS),
  FALLBACK_NUMBER: pattern(/^\+[1-9]\d{6,14}$/, 'a number in E.164, like +15005550006', undefined),
  // Model
  OPENAI_API_KEY: secret(8),
  OPENAI_REALTIME_URL: url(['wss', 'ws'], true),
  OPENAI_REALTIME_MODEL: named('gpt-realtime-2.1'),
  AZURE_OPENAI_ENDPOINT: url(['https', 'http'], true),
  AZURE_OPENAI_API_KEY: secret(8),
  AZURE_OPENAI_DEPLOYMENT: named(undefined),
  MODEL_AUDIO: oneOf(['pcmu', 'pcm16'], 'pcmu'),
  MODEL_CONNECT_MS: integer(8_000, 500, MINUTE_MS),
  MODEL_STALL_MS: integer(5_000, 1_000, 5 * MINUTE_MS),
  TURN_MAX_MS: integer(60_000, 5_000, 10 * MINUTE_MS),
  TURN_FILLER_MS: integer(3_000, 500, MINUTE_MS),
  TOOL_MAX_MS: integer(30_000, 1_000, 5 * MINUTE_MS),
  MODEL_MAX_OUTPUT_TOKENS: integer(4_096, 1, 4_096),
  MODEL_SESSION_MAX_MS: integer(3_300_000, 10_000, 3_540_000),
  VAD: oneOf(['server', 'semantic'], 'server'),
  VAD_THRESHOLD: decimal(0.5, 0, 1),
  VAD_PREFIX_MS: integer(300, 0, 5_000),
  VAD_SILENCE_MS: integer(500, 50, 10_000),
  VAD_IDLE_TIMEOUT_MS: optionalInteger(1_000, MINUTE_MS),
  VAD_EAGERNESS: oneOf(['low', 'medium', 'high', 'auto'], 'auto'),
  TRANSCRIPTION_MODEL: named('gpt-4o-mini-transcribe'),
  TRANSCRIPTION_LANGUAGE: pattern(/^[a-z]{2,3}$/, 'a language code like en', undefined),
  // Call
  CALLS_MAX: integer(400, 1, 100_000),
  CALLS_PER_CALLER: integer(3, 0, 100_000),
  CALLS_WITHHELD_PERCENT: integer(50, 1, 100),
  TENANT_MINUTES_PER_DAY: optionalInteger(1, 1_000_000_000),
  TENANT_MONEY_PER_DAY: optionalDecimal(0.001, 1_000_000_000),
  TRANSFER_ALLOW: transferRule(),
  TRANSFER_MAX_MS: integer(HOUR_MS, MINUTE_MS, 4 * HOUR_MS),
  TRANSFERS_PER_CALLER: integer(5, 1, 1_000),
  TRANSFERS_WITHHELD: integer(20, 1, 100_000),
  SILENCE_ASK_MS: integer(30_000, 0, HOUR_MS),
  SILENCE_END_MS: integer(30_000, 1_000, HOUR_MS),
  CALL_BUDGET: optionalDecimal(0.001, 1_000_000),
  CALL_MAX_MS: integer(4 * HOUR_MS, 10_000, 24 * HOUR_MS),
  DRAIN_DEADLINE_MS: integer(600_000, 0, 24 * HOUR_MS),
  PLAYOUT_LEAD_MS: integer(300, 40, 5_000),
  PLAYOUT_CHUNK_MS: integer(200, 20, 1_000),
  MARK_EVERY_MS: integer(400, 20, 5_000),
  APPEND_COALESCE: oneOf(['off', 'auto', '2', '3', '4', '5'], 'auto'),
  APPEND_COALESCE_ABOVE_CALLS: integer(200, 0, 100_000),
  MEDIA_WATCHDOG_MS: integer(30_000, 1_000, HOUR_MS),
  OUTBOUND_BUFFER_MAX_BYTES: integer(1_048_576, 16_384, 67_108_864),
  TRANSCRIPT_MAX_ITEMS: integer(400, 10, 100_000),
  AGENT_MODULE: pattern(/^.{1,4096}$/, 'the path of a module', undefined),
  AGENT_LOAD_MS: integer(30_000, 100, 600_000),
  AGENT_RELOAD: onOff('off'),
  PACK: pattern(/^[a-z][a-z0-9-]{0,62}$/, 'the name of a pack: lowercase letters, digits and dashes', 'clinic'),
  DEMO_CALL: oneOf(['on', 'off'], undefined),
  EXIT_AFTER_DEMO: onOff('off'),
  OFFLINE_TALK_S: integer(0, 0, 86_400),
  OFFLINE_TOOL_EVERY: integer(2, 0, 1_000),
  // Fleet
  REDIS_URL: secretUrl(['redis', 'rediss']),
  DATABASE_URL: secretUrl(['postgres', 'postgresql']),
  DATABASE_REPLICA_URL: secretUrl(['postgres', 'postgresql']),
  DATABASE_POOL_MAX: integer(10, 1, 200),
  EMBEDDED_DATABASE: onOff('on'),
  CELL: pattern(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, 'lowercase letters, digits and dashes (32 at most)', 'main'),
  POD_ADDRESS: url(['http', 'https'], false),
  CEILING_CALLS: optionalInteger(1, 1_000_000),
  LIMITS_FILE: pattern(/^.{1,4096}$/, 'the path of a file', undefined),
  QUEUE_MAX: integer(0, 0, 100_000),
  QUEUE_WAIT_MAX_MS: integer(120_000, 1_000, HOUR_MS),
  QUEUE_OVERFLOW: oneOf(['hang-up', 'transfer', 'voicemail', 'call-back'], undefined),
  CALLBACK_FROM: pattern(/^\+[1-9]\d{6,14}$/, 'a number in E.164, like +15005550006', undefined),
  CALLBACK_EXPIRES_MS: integer(4 * HOUR_MS, 60_000, 24 * HOUR_MS),
  CALLER_LANGUAGE: pattern(/^[a-z]{2,3}(-[A-Z]{2})?$/, 'a language tag like en or pt-BR', 'en'),
  HOLD_AUDIO_URL: url(['https', 'http'], true),
  DRAIN_NATURAL_MS: integer(30_000, 0, HOUR_MS),
  HISTORY_FILE: pattern(/^.{1,4096}$/, 'the path of a file', undefined),
  // After the call
  WORK_POLL_MS: integer(500, 20, MINUTE_MS),
  WORK_DRAIN_MS: integer(30_000, 0, HOUR_MS),
  WORK_SILENT_MS: integer(180_000, 90_000, 24 * HOUR_MS),
  WORK_ANALYSIS_MAX: integer(128, 1, 2_000),
  ANALYSIS: oneOf(['model', 'rules'], undefined),
  ANALYSIS_URL: url(['https', 'http'], true),
  ANALYSIS_API_KEY: secret(8),
  ANALYSIS_MODEL: named('gpt-4.1-mini'),
  PRICES: prices(),
  CRM_WEBHOOK_URL: url(['https', 'http'], false),
  CRM_WEBHOOK_SECRET: secret(16),
  CRM_WEBHOOK_SECRET_SECONDARY: secret(16),
  CRM_WEBHOOK_KEYS: onOff('on'),
  CRM_ALLOW_PRIVATE: onOff('off'),
  CRM_TIMEOUT_MS: integer(10_000, 100, 2 * MINUTE_MS),
  ADMIN_TOKEN: secret(24),
  ADMIN_TOKEN_SECONDARY: secret(24),
  OPERATOR_TOKENS: operatorTokens(),
  DATA_KEYS: dataKeys(),
  RETENTION_DAYS: retention(),
  // Operation
  LOG_LEVEL: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info'),
  LOG_PII: onOff('off'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(['https', 'http'], false),
  DATA_DIR: pattern(/^.{1,4096}$/, 'the path of a folder', '.data'),
} as const

export type VariableName = keyof typeof VARIABLES

type ValueOf<V> = V extends Variable<infer T> ? T : never

/** The value of each variable after reading, default included. */
export type Values = { [K in VariableName]: ValueOf<(typeof VARIABLES)[K]> }

/** One thing to mend in the environment. */
export type Problem = { variable: string; problem: string; fix: string }
