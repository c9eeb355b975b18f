// Configuration: environment → one frozen Config. Rules:
// CF1: this is the only file that reads the environment; an empty variable counts as unset.
// CF2: all problems are reported at once, each by variable name with its fix.
// CF3: a secret may come from a file named by NAME_FILE; its text never stands in a problem.
// CF4: signature checks are off only for loopback outside production; everywhere else a missing token is a problem.
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { isLoopbackHost, VARIABLES, type Values, type Variable, type VariableName } from './variables.ts'

const SECRET_FILE_MAX_BYTES = 65_536 // a secret is a line; a larger file is refused

/** One thing to mend in the environment. */
export type Problem = { variable: string; problem: string; fix: string }

/** Where the realtime model is; `none` means that role all starts the offline model. */
export type ModelEndpoint =
  | { kind: 'openai'; url: string; headers: Record<string, string>; model: string }
  | { kind: 'azure'; url: string; headers: Record<string, string>; model: string }
  | { kind: 'none'; model: string }

/** How the model decides that the caller has finished speaking. */
export type TurnDetection =
  | { kind: 'server'; threshold: number; prefixMs: number; silenceMs: number; idleTimeoutMs: number | undefined }
  | { kind: 'semantic'; eagerness: 'low' | 'medium' | 'high' | 'auto' }

/** Frames joined per append to the model: never, above a number of live calls, or always `frames`. */
export type AppendCoalesce =
  | { kind: 'off' }
  | { kind: 'auto'; aboveCalls: number }
  | { kind: 'always'; frames: 2 | 3 | 4 | 5 }

/** Whether X-Twilio-Signature is verified, and why not when it is not. */
export type SignatureCheck = 'on' | 'off' | 'off-loopback'

const isProduction = (values: Values) => values.NODE_ENV === 'production'

/** The outcome of reading the environment. */
export type ConfigResult = { kind: 'ok'; config: Config } | { kind: 'invalid'; problems: Problem[] }

/** The plane's configuration, frozen to the leaves. */
export type Config = DeepReadonly<ReturnType<typeof assemble>>

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

/** Reads the environment (the process's own when none is handed in). */
export function readConfig(env: Record<string, string | undefined> = process.env): ConfigResult {
  const problems: Problem[] = []
  const values = readValues(env, problems)
  checkTogether(values, problems)
  if (problems.length > 0) return { kind: 'invalid', problems }
  return { kind: 'ok', config: deepFreeze(assemble(values)) as Config }
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
    if (found.isFile() && found.size <= SECRET_FILE_MAX_BYTES) return readFileSync(path, 'utf8').trim()
    problems.push({ variable, problem: 'is no small regular file', fix: `name a file of one line with ${name}` })
  } catch {
    problems.push({ variable, problem: 'cannot be read', fix: 'name a file that exists and that this user may read' })
  }
  return undefined
}

function checkTogether(values: Values, problems: Problem[]): void {
  const add = (variable: VariableName, problem: string, fix: string) => problems.push({ variable, problem, fix })
  checkCarrier(values, add)
  checkModel(values, add)
  for (const name of ['PLAYOUT_LEAD_MS', 'PLAYOUT_CHUNK_MS', 'MARK_EVERY_MS'] as const) {
    if (values[name] % 20 !== 0) add(name, `cannot be ${values[name]}`, 'write a multiple of 20 (a frame is 20 ms)')
  }
  if (values.PLAYOUT_CHUNK_MS > values.PLAYOUT_LEAD_MS) {
    add('PLAYOUT_CHUNK_MS', 'is more than PLAYOUT_LEAD_MS', 'make it the lead or less')
  }
  const module = values.AGENT_MODULE
  if (module !== undefined && !statSync(resolve(module), { throwIfNoEntry: false })?.isFile()) {
    add('AGENT_MODULE', `names no file (${JSON.stringify(module)})`, 'give the path of a module that exists')
  }
}

type AddProblem = (variable: VariableName, problem: string, fix: string) => void

function checkCarrier(values: Values, add: AddProblem): void {
  const base = values.PUBLIC_BASE_URL
  const listensOnLoopback = isLoopbackHost(values.HOST)
  if (base !== undefined && (base.pathname !== '/' || base.search !== '')) {
    add('PUBLIC_BASE_URL', 'has a path or a query', 'write scheme and host only, like https://voice.example.com')
  }
  if (base === undefined && (isProduction(values) || !listensOnLoopback)) {
    add('PUBLIC_BASE_URL', 'is not set', 'set the https:// address at which the carrier reaches this plane')
  }
  if (values.TWILIO_SIGNATURE_CHECK === 'off' && (!listensOnLoopback || isProduction(values))) {
    const fix = 'remove it; checks may be off only when HOST is loopback and NODE_ENV is not production'
    add('TWILIO_SIGNATURE_CHECK', 'cannot be "off" here', fix)
  } else if (values.TWILIO_SIGNATURE_CHECK === 'on' && !values.TWILIO_AUTH_TOKEN && !isLoopbackOnly(values)) {
    add('TWILIO_AUTH_TOKEN', 'is not set', 'set the auth token of the Twilio account (or TWILIO_AUTH_TOKEN_FILE)')
  }
  if (values.TWILIO_AUTH_TOKEN_SECONDARY && !values.TWILIO_AUTH_TOKEN) {
    add('TWILIO_AUTH_TOKEN_SECONDARY', 'is set without TWILIO_AUTH_TOKEN', 'set the primary token too')
  }
  if (values.POD_NAME !== undefined && !values.STREAM_TOKEN_SECRET && !listensOnLoopback) {
    add(
      'STREAM_TOKEN_SECRET',
      'is not set while POD_NAME is',
      'set the same secret, 32 characters or more, on all pods',
    )
  }
}

function checkModel(values: Values, add: AddProblem): void {
  const azure = ['AZURE_OPENAI_ENDPOINT', 'AZURE_OPENAI_API_KEY', 'AZURE_OPENAI_DEPLOYMENT'] as const
  const absent = azure.filter((name) => values[name] === undefined)
  if (absent.length < azure.length) {
    for (const name of absent) add(name, 'is not set', `the three ${azure.join(', ')} stand together or not at all`)
  }
  const override = values.OPENAI_REALTIME_URL
  if (override !== undefined && !values.OPENAI_API_KEY && !isLoopbackHost(override.hostname)) {
    add('OPENAI_API_KEY', 'is not set while OPENAI_REALTIME_URL is', 'set the key (or OPENAI_API_KEY_FILE)')
  }
  if (override !== undefined && absent.length === 0) {
    add('OPENAI_REALTIME_URL', 'is set beside the AZURE_OPENAI_ variables', 'keep one of the two')
  }
}

/** Nobody but this machine can reach the plane: it listens on loopback and names itself so (or not at all). */
function isLoopbackOnly(values: Values): boolean {
  const base = values.PUBLIC_BASE_URL
  return !isProduction(values) && isLoopbackHost(values.HOST) && (base === undefined || isLoopbackHost(base.hostname))
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
      isPublicBaseUrlSet: values.PUBLIC_BASE_URL !== undefined,
    },
    twilio: {
      accountSid: values.TWILIO_ACCOUNT_SID,
      /** Primary first; the secondary is accepted while tokens are rotated. */
      authTokens: tokens.filter((token) => token !== undefined),
      signatureCheck,
      fallbackNumber: values.FALLBACK_NUMBER,
    },
    streamToken: {
      secret: values.STREAM_TOKEN_SECRET ?? randomBytes(32).toString('base64url'),
      ttlMs: values.STREAM_TOKEN_TTL_MS,
    },
    model: {
      endpoint: endpointOf(values),
      audio: values.MODEL_AUDIO,
      connectMs: values.MODEL_CONNECT_MS,
      stallMs: values.MODEL_STALL_MS,
      sessionMaxMs: values.MODEL_SESSION_MAX_MS,
      turnDetection: turnDetectionOf(values),
      transcriptionModel: values.TRANSCRIPTION_MODEL === 'off' ? undefined : values.TRANSCRIPTION_MODEL,
      transcriptionLanguage: values.TRANSCRIPTION_LANGUAGE,
      appendCoalesce: appendCoalesceOf(values),
    },
    call: {
      callsMax: values.CALLS_MAX,
      callMaxMs: values.CALL_MAX_MS,
      drainDeadlineMs: values.DRAIN_DEADLINE_MS,
      playoutLeadMs: values.PLAYOUT_LEAD_MS,
      playoutChunkMs: values.PLAYOUT_CHUNK_MS,
      markEveryMs: values.MARK_EVERY_MS,
      mediaWatchdogMs: values.MEDIA_WATCHDOG_MS,
      outboundBufferMaxBytes: values.OUTBOUND_BUFFER_MAX_BYTES,
      transcriptMaxItems: values.TRANSCRIPT_MAX_ITEMS,
    },
    agentModule: values.AGENT_MODULE === undefined ? undefined : resolve(values.AGENT_MODULE),
    pack: values.PACK,
    /** undefined: role all places the demonstration call, every other role does not. */
    demoCall: values.DEMO_CALL === undefined ? undefined : values.DEMO_CALL === 'on',
    exitAfterDemo: values.EXIT_AFTER_DEMO === 'on',
    log: { level: values.LOG_LEVEL, showPii: values.LOG_PII === 'on' },
    otlpEndpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT?.href.replace(/\/+$/, ''),
  }
}

function endpointOf(values: Values): ModelEndpoint {
  const { AZURE_OPENAI_ENDPOINT: azure, OPENAI_API_KEY: key, OPENAI_REALTIME_MODEL: model } = values
  if (azure !== undefined) {
    const deployment = values.AZURE_OPENAI_DEPLOYMENT!
    const url = new URL(`${azure.origin.replace(/^http/, 'ws')}/openai/v1/realtime`)
    url.searchParams.set('model', deployment)
    return { kind: 'azure', url: url.href, headers: { 'api-key': values.AZURE_OPENAI_API_KEY! }, model: deployment }
  }
  if (key === undefined && values.OPENAI_REALTIME_URL === undefined) return { kind: 'none', model }
  const url = new URL(values.OPENAI_REALTIME_URL ?? 'wss://api.openai.com/v1/realtime')
  if (!url.searchParams.has('model')) url.searchParams.set('model', model)
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
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
