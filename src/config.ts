// Configuration: environment → one frozen Config. Rules:
// CF1: this is the only file that reads the environment; an empty variable counts as unset.
// CF2: all problems are reported at once, each by variable name with its fix.
// CF3: a secret may come from a file named by NAME_FILE; its text never stands in a problem. A file that is empty is a problem, for
//      whoever named it meant to protect something.
// CF5: a name that is no variable and is spelt almost like one that is not set is kept, for a warning at the start.
// CF4: signature checks are off only for loopback outside production; everywhere else a missing token is a problem.
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { type ConfiguredRole, checkTogether, isProduction } from './config-checks.ts'
import { workOf } from './config-work.ts'
import { bare, nearlySpelt } from './kit/spelling.ts'
import { type Credential, SCOPES } from './ops/operators.ts'
import type { Sealer } from './store/sealing/sealer.ts'
import { type Problem, VARIABLES, type Values, type Variable, type VariableName } from './variables.ts'

/** In place of a key towards a model of this machine. */
export const NO_KEY = 'offline'
/** Shorter variables are near to too many names of other programs: PATH is near PACK. */
const MISSPELT_CHARS_MIN = 6
const SECRET_FILE_MAX_BYTES = 65_536 // a secret is a line; a larger file is refused

/** Where the realtime model is; `none` means that role all starts the offline model. */
type ModelEndpoint =
  | { kind: 'openai'; url: string; headers: Record<string, string>; model: string }
  | { kind: 'azure'; url: string; headers: Record<string, string>; model: string }
  | { kind: 'none'; model: string }

/** How the model decides that the caller has finished speaking. */
type TurnDetection =
  | { kind: 'server'; threshold: number; prefixMs: number; silenceMs: number; idleTimeoutMs: number | undefined }
  | { kind: 'semantic'; eagerness: 'low' | 'medium' | 'high' | 'auto' }

/** Frames joined per append to the model: never, above a number of live calls, or always `frames`. */
type AppendCoalesce = { kind: 'off' } | { kind: 'auto'; aboveCalls: number } | { kind: 'always'; frames: 2 | 3 | 4 | 5 }

/** Whether X-Twilio-Signature is verified, and why not when it is not. */
type SignatureCheck = 'on' | 'off' | 'off-loopback'

/** The outcome of reading the environment. */
type ConfigResult = { kind: 'ok'; config: Config } | { kind: 'invalid'; problems: Problem[] }

/** The plane's configuration, frozen to the leaves. */
export type Config = DeepReadonly<
  ReturnType<typeof assemble> & {
    /** The variables that the environment sets, by their names. */
    given: VariableName[]
    /** Names in the environment that are spelt almost like a variable, and are none. */
    misspelt: Misspelt[]
  }
>

/** A name that means nothing, and the variable that it may stand for. */
type Misspelt = { name: string; nearest: string }

/** A sealer is made of methods alone, and hides its keys. */
type DeepReadonly<T> = T extends Sealer ? T : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

/** Reads the environment (the process's own when none is handed in) for `role`; what only other roles use may be missing. */
export function readConfig(
  env: Record<string, string | undefined> = process.env,
  role: ConfiguredRole = 'all',
): ConfigResult {
  const problems: Problem[] = []
  const values = readValues(env, problems)
  checkTogether(values, role, problems)
  if (problems.length > 0) return { kind: 'invalid', problems }
  return {
    kind: 'ok',
    config: deepFreeze({ ...assemble(values), given: givenIn(env), misspelt: misspeltIn(env) }) as Config,
  }
}

/** Keys that are not among the plane's variables: those of model pools, by the names that the limits file gives (CF3). */
export function readKeys(
  names: readonly string[],
  env: Record<string, string | undefined> = process.env,
): { keys: Map<string, string>; problems: Problem[] } {
  const problems: Problem[] = []
  const keys = new Map<string, string>()
  for (const name of new Set(names)) {
    // A slip of the pen must not send another secret of the plane to a provider.
    if (name in VARIABLES && name !== 'OPENAI_API_KEY' && name !== 'AZURE_OPENAI_API_KEY') {
      problems.push({
        variable: name,
        problem: 'is no key of a model',
        fix: 'name a variable of its own in keyVariable',
      })
      continue
    }
    const before = problems.length
    const text = secretText(name, env, problems)
    const parsed = VARIABLES.OPENAI_API_KEY.parse(text ?? '')
    if (parsed.kind === 'ok') keys.set(name, text!)
    else if (problems.length === before) {
      const problem = text === undefined || text === '' ? 'is not set' : 'does not have the right form'
      problems.push({ variable: name, problem, fix: `set the key of the pool (or ${name}_FILE): ${parsed.fix}` })
    }
  }
  return { keys, problems }
}

/** The problems as text for the console, one variable a line. */
export function formatProblems(problems: readonly Problem[]): string {
  const head = `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:`
  return [head, ...problems.map(({ variable, problem, fix }) => `  ${variable}: ${problem}; ${fix}`)].join('\n')
}

/** The same configuration on another port (PORT=0 learns its port when it listens). */
export function withPort(config: Config, port: number): Config {
  const { http } = config
  const publicBaseUrl = http.isPublicBaseUrlSet ? http.publicBaseUrl : loopbackBaseUrl(http.host, port)
  const streamBaseUrl = publicBaseUrl.replace(/^http/, 'ws')
  return deepFreeze({ ...config, http: { ...http, port, publicBaseUrl, streamBaseUrl } })
}

function givenIn(env: Record<string, string | undefined>): VariableName[] {
  const isSet = (name: string) => (env[name]?.trim() ?? '') !== ''
  const names = Object.keys(VARIABLES) as VariableName[]
  return names.filter((name) => isSet(name) || (VARIABLES[name].secret && isSet(`${name}_FILE`)))
}

/** [CF5] */
function misspeltIn(env: Record<string, string | undefined>): Misspelt[] {
  const plain = Object.keys(VARIABLES) as VariableName[]
  const secrets = plain.filter((name) => VARIABLES[name].secret)
  const known: readonly string[] = [...plain, ...secrets.map((name) => `${name}_FILE`)]
  const found: Misspelt[] = []
  for (const name of Object.keys(env)) {
    if (known.includes(name) || !/^[A-Z][A-Z0-9_]*$/.test(name)) continue
    // OPENAI_API_KEY_2 is the key of a pool, named by the limits file.
    if (secrets.some((secret) => name.startsWith(secret))) continue
    const nearest = nearlySpelt(name, known)
    if (nearest !== undefined && !env[nearest] && bare(nearest).length >= MISSPELT_CHARS_MIN)
      found.push({ name, nearest })
  }
  return found
}

function readValues(env: Record<string, string | undefined>, problems: Problem[]): Values {
  const values: Record<string, unknown> = {}
  for (const [name, variable] of Object.entries(VARIABLES) as [VariableName, Variable<unknown>][]) {
    values[name] = variable.fallback
    const text = variable.secret ? secretText(name, env, problems) : env[name]?.trim()
    if (text === undefined || text === '') continue
    const parsed = variable.parse(text)
    if (parsed.kind === 'ok') values[name] = parsed.value
    else {
      const problem = variable.secret ? 'does not have the right form' : `cannot be ${JSON.stringify(text)}`
      problems.push({ variable: name, problem, fix: parsed.fix })
    }
  }
  return values as Values
}

function secretText(name: string, env: Record<string, string | undefined>, problems: Problem[]): string | undefined {
  const own = env[name]?.trim()
  const path = env[`${name}_FILE`]?.trim()
  if (path === undefined || path === '') return own
  const variable = `${name}_FILE`
  if (own) {
    problems.push({ variable, problem: `is set beside ${name}`, fix: `keep one of ${name} and ${variable}` })
    return undefined
  }
  try {
    const found = statSync(path)
    if (!found.isFile() || found.size > SECRET_FILE_MAX_BYTES) {
      problems.push({ variable, problem: 'is no small regular file', fix: `name a file of one line with ${name}` })
      return undefined
    }
    const text = readFileSync(path, 'utf8').trim()
    if (text !== '') return text
    problems.push({ variable, problem: 'names an empty file', fix: `write ${name} into it, or unset ${variable}` })
  } catch {
    problems.push({ variable, problem: 'cannot be read', fix: 'name a file that exists and that this user may read' })
  }
  return undefined
}

function loopbackBaseUrl(host: string, port: number): string {
  const bare = host.replace(/^\[|\]$/g, '')
  return `http://${bare.includes(':') ? `[${bare}]` : bare}:${port}`
}

function assemble(values: Values) {
  const publicBaseUrl = values.PUBLIC_BASE_URL?.origin ?? loopbackBaseUrl(values.HOST, values.PORT)
  const hasOneToken = values.TWILIO_AUTH_TOKEN !== undefined
  const signatureCheck: SignatureCheck =
    values.TWILIO_SIGNATURE_CHECK === 'off' ? 'off' : hasOneToken ? 'on' : 'off-loopback'
  const tokens = [values.TWILIO_AUTH_TOKEN, values.TWILIO_AUTH_TOKEN_SECONDARY]
  return {
    isProduction: isProduction(values),
    podName: values.POD_NAME ?? 'pod-1',
    dataDir: resolve(values.DATA_DIR),
    http: {
      host: values.HOST.replace(/^\[|\]$/g, ''),
      port: values.PORT,
      publicBaseUrl,
      /** The same address for media streams: ws:// or wss://. */
      streamBaseUrl: publicBaseUrl.replace(/^http/, 'ws'),
      /** Whose X-Forwarded-For is believed. */
      trustedProxies: values.TRUSTED_PROXIES ?? [],
      isPublicBaseUrlSet: values.PUBLIC_BASE_URL !== undefined,
    },
    ops: {
      /** The listener of /metrics, /drain and /admin; undefined: they stand on the port of the calls. */
      listener:
        values.OPS_PORT === undefined
          ? undefined
          : { host: (values.OPS_HOST ?? values.HOST).replace(/^\[|\]$/g, ''), port: values.OPS_PORT },
      operators: operatorsOf(values),
    },
    twilio: {
      accountSid: values.TWILIO_ACCOUNT_SID,
      /** undefined: Twilio's own. */
      apiBaseUrl: values.TWILIO_API_BASE_URL?.origin,
      /** Primary first; the secondary is accepted while tokens are rotated. */
      authTokens: tokens.filter((token) => token !== undefined),
      signatureCheck,
      fallbackNumber: values.FALLBACK_NUMBER,
      transferMaxMs: values.TRANSFER_MAX_MS,
    },
    streamToken: {
      secret: values.STREAM_TOKEN_SECRET ?? randomBytes(32).toString('base64url'),
      /** Accepted too, while the secret is changed in a rolling update. */
      secondary: values.STREAM_TOKEN_SECRET_SECONDARY,
      ttlMs: values.STREAM_TOKEN_TTL_MS,
    },
    model: {
      endpoint: endpointOf(values),
      /** The model of a pool that names none. */
      name: values.OPENAI_REALTIME_MODEL,
      audio: values.MODEL_AUDIO,
      connectMs: values.MODEL_CONNECT_MS,
      stallMs: values.MODEL_STALL_MS,
      turnMaxMs: values.TURN_MAX_MS,
      fillerAfterMs: values.TURN_FILLER_MS,
      toolMaxMs: values.TOOL_MAX_MS,
      sessionMaxMs: values.MODEL_SESSION_MAX_MS,
      maxOutputTokens: values.MODEL_MAX_OUTPUT_TOKENS,
      turnDetection: turnDetectionOf(values),
      transcriptionModel: values.TRANSCRIPTION_MODEL === 'off' ? undefined : values.TRANSCRIPTION_MODEL,
      transcriptionLanguage: values.TRANSCRIPTION_LANGUAGE,
      appendCoalesce: appendCoalesceOf(values),
    },
    call: {
      callsMax: values.CALLS_MAX,
      callMaxMs: values.CALL_MAX_MS,
      /** Places of one far party at once; 0: not bounded. */
      callsPerCaller: values.CALLS_PER_CALLER,
      /** What part of the cell's limit all withheld callers share. */
      withheldPercent: values.CALLS_WITHHELD_PERCENT,
      /** What each tenant may spend in a day where the limits file says nothing of it; undefined: not bounded. */
      tenantDay: { minutes: values.TENANT_MINUTES_PER_DAY, money: values.TENANT_MONEY_PER_DAY },
      /** undefined: by the countries of our own numbers. */
      transferAllow: values.TRANSFER_ALLOW,
      transfersPerCaller: values.TRANSFERS_PER_CALLER,
      /** All withheld callers of a tenant together. */
      transfersWithheld: values.TRANSFERS_WITHHELD,
      silenceAskMs: values.SILENCE_ASK_MS,
      silenceEndMs: values.SILENCE_END_MS,
      /** What a call may cost, in the currency of the prices; undefined: there is no bound. */
      callBudget: values.CALL_BUDGET,
      drainDeadlineMs: values.DRAIN_DEADLINE_MS,
      playoutLeadMs: values.PLAYOUT_LEAD_MS,
      playoutChunkMs: values.PLAYOUT_CHUNK_MS,
      markEveryMs: values.MARK_EVERY_MS,
      mediaWatchdogMs: values.MEDIA_WATCHDOG_MS,
      outboundBufferMaxBytes: values.OUTBOUND_BUFFER_MAX_BYTES,
      transcriptMaxItems: values.TRANSCRIPT_MAX_ITEMS,
    },
    fleet: {
      redisUrl: values.REDIS_URL,
      databaseUrl: values.DATABASE_URL,
      /** For operators' reads; undefined: they go to the database itself. */
      databaseReplicaUrl: values.DATABASE_REPLICA_URL,
      /** What is encrypted at rest is sealed by it; undefined: nothing is. */
      sealer: values.DATA_KEYS,
      databasePoolMax: values.DATABASE_POOL_MAX,
      /** Role all may keep its calls in a database of its own. */
      isEmbeddedAllowed: values.EMBEDDED_DATABASE === 'on',
      cell: values.CELL,
      /** Where other pods reach this one; undefined: at its own host and port. */
      podAddress: values.POD_ADDRESS?.origin,
      /** undefined: see limitsOf (pod/pod-settings.ts). */
      ceilingCalls: values.CEILING_CALLS,
      limitsFile: values.LIMITS_FILE === undefined ? undefined : resolve(values.LIMITS_FILE),
      queueMax: values.QUEUE_MAX,
      queueWaitMaxMs: values.QUEUE_WAIT_MAX_MS,
      callerLanguage: values.CALLER_LANGUAGE,
      holdAudioUrl: values.HOLD_AUDIO_URL?.href,
      drainNaturalMs: values.DRAIN_NATURAL_MS,
      historyFile: values.HISTORY_FILE === undefined ? undefined : resolve(values.HISTORY_FILE),
    },
    /** Callers who waited too long. */
    overflow: {
      kind: values.QUEUE_OVERFLOW,
      /** Our number that calls back; undefined: nobody is called back. */
      callBackFrom: values.QUEUE_OVERFLOW === 'call-back' ? values.CALLBACK_FROM : undefined,
      callBackExpiresMs: values.CALLBACK_EXPIRES_MS,
    },
    work: workOf(values),
    agentModule: values.AGENT_MODULE === undefined ? undefined : resolve(values.AGENT_MODULE),
    agent: { loadMs: values.AGENT_LOAD_MS, reload: values.AGENT_RELOAD === 'on' },
    pack: values.PACK,
    /** undefined: role all places the demonstration call, every other role does not. */
    demoCall: values.DEMO_CALL === undefined ? undefined : values.DEMO_CALL === 'on',
    exitAfterDemo: values.EXIT_AFTER_DEMO === 'on',
    offlineTalkS: values.OFFLINE_TALK_S,
    /** The built-in pack's script calls its tools itself. */
    offlineToolEvery: values.AGENT_MODULE === undefined ? 0 : values.OFFLINE_TOOL_EVERY,
    log: { level: values.LOG_LEVEL, showPii: values.LOG_PII === 'on' },
    otlpEndpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT?.href.replace(/\/+$/, ''),
  }
}

/** ADMIN_TOKEN may do everything. */
function operatorsOf(values: Values): readonly Credential[] {
  const admins = [values.ADMIN_TOKEN, values.ADMIN_TOKEN_SECONDARY].filter((token) => token !== undefined)
  return [...admins.map((token) => ({ id: 'admin', scopes: SCOPES, token })), ...(values.OPERATOR_TOKENS ?? [])]
}

function endpointOf(values: Values): ModelEndpoint {
  const { AZURE_OPENAI_ENDPOINT: azure, OPENAI_API_KEY: key, OPENAI_REALTIME_MODEL: model } = values
  if (azure !== undefined) {
    return azurePlace(azure, values.AZURE_OPENAI_DEPLOYMENT!, values.AZURE_OPENAI_API_KEY!)
  }
  if (key === undefined && values.OPENAI_REALTIME_URL === undefined) return { kind: 'none', model }
  return openAiPlace(values.OPENAI_REALTIME_URL, model, key)
}

/** The place of an Azure deployment. */
export function azurePlace(endpoint: URL, deployment: string, key: string): ModelEndpoint & { kind: 'azure' } {
  const url = new URL(`${endpoint.origin.replace(/^http/, 'ws')}/openai/v1/realtime`)
  url.searchParams.set('model', deployment)
  return { kind: 'azure', url: url.href, headers: { 'api-key': key }, model: deployment }
}

/** The place of a model of OpenAI, or of what speaks its protocol at `base`; the base's own `model` wins. */
export function openAiPlace(
  base: URL | undefined,
  model: string,
  key: string | undefined,
): ModelEndpoint & { kind: 'openai' } {
  const url = new URL(base ?? 'wss://api.openai.com/v1/realtime')
  if (!url.searchParams.has('model')) url.searchParams.set('model', model)
  // Only loopback may have no key; what listens there may ask for one all the same, and this one opens nothing.
  const headers = { authorization: `Bearer ${key ?? NO_KEY}` }
  return { kind: 'openai', url: url.href, headers, model: url.searchParams.get('model')! }
}

function turnDetectionOf(values: Values): TurnDetection {
  if (values.VAD === 'semantic') return { kind: 'semantic', eagerness: values.VAD_EAGERNESS }
  return {
    kind: 'server',
    threshold: values.VAD_THRESHOLD,
    prefixMs: values.VAD_PREFIX_MS,
    silenceMs: values.VAD_SILENCE_MS,
    idleTimeoutMs: values.VAD_IDLE_TIMEOUT_MS,
  }
}

function appendCoalesceOf(values: Values): AppendCoalesce {
  const text = values.APPEND_COALESCE
  if (text === 'off') return { kind: 'off' }
  if (text === 'auto') return { kind: 'auto', aboveCalls: values.APPEND_COALESCE_ABOVE_CALLS }
  return { kind: 'always', frames: Number(text) as 2 | 3 | 4 | 5 }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const part of Object.values(value)) deepFreeze(part)
    Object.freeze(value)
  }
  return value
}
