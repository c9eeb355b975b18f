// Which settings do nothing in a role, so that none is ignored in silence. Rules:
// US1: every variable has a row: who uses it, and when. The compiler refuses a variable without one.
// US2: a setting that is given and does nothing is told at the start, by its name: as information when another role of the
//      same plane uses it, as a warning when nothing uses it in this set-up.
// US3: a variable that is not set is never told.
// US4: the warning says why each setting does nothing, and what to set where that would help.
import type { Config } from './config.ts'
import type { VariableName } from './variables.ts'

/** The roles that stay and serve. */
export type ServingRole = 'all' | 'edge' | 'worker'

/** What a setting does: something here, something in another role of the same plane, or nothing at all, with the reason. */
type Use = 'here' | 'elsewhere' | { why: string }

type Rule = (role: ServingRole, config: Config, given: ReadonlySet<VariableName>) => Use
type Holds = (config: Config, given: ReadonlySet<VariableName>, role: ServingRole) => boolean

const everywhere: Rule = () => 'here'
/** What takes calls. */
const pods: Rule = (role) => (role === 'worker' ? 'elsewhere' : 'here')
/** What works after calls: a worker, role all on its own database, and nobody when a pod has no database. */
const work: Rule = (role, config) => {
  if (role === 'worker') return 'here'
  if (config.fleet.databaseUrl !== undefined) return 'elsewhere'
  return isEmbedded(role, config) ? 'here' : { why: 'nothing works after calls here: set DATABASE_URL' }
}
/** What only role worker uses, and not the worker inside role all. */
const workers: Rule = (role, config) => {
  if (role === 'worker') return 'here'
  return config.fleet.databaseUrl === undefined ? { why: 'only role worker uses it: set DATABASE_URL' } : 'elsewhere'
}
const roleAll: Rule = (role) => (role === 'all' ? 'here' : { why: 'only role all uses it (npm start)' })

/** `rule` where `holds`; else nobody uses it, because of `why`. */
const when =
  (rule: Rule, holds: Holds, why: string): Rule =>
  (role, config, given) =>
    holds(config, given, role) ? rule(role, config, given) : { why }

/** Pods always; a worker where `holds`. */
const workersToo =
  (holds: Holds): Rule =>
  (role, config, given) =>
    role !== 'worker' || holds(config, given, role) ? 'here' : 'elsewhere'

const isEmbedded = (role: ServingRole, { fleet }: Config): boolean =>
  role === 'all' && fleet.databaseUrl === undefined && fleet.isEmbeddedAllowed
const hasDatabase = (config: Config, role: ServingRole): boolean =>
  config.fleet.databaseUrl !== undefined || isEmbedded(role, config)

/** The limits file may have budgets of tenants. */
const hasBudget = ({ call, fleet }: Config): boolean =>
  call.callBudget !== undefined || call.tenantDay.money !== undefined || fleet.limitsFile !== undefined

/** Without both the REST API of the carrier is not asked. */
const hasCredentials = ({ twilio }: Config): boolean => twilio.accountSid !== undefined && twilio.authTokens.length > 0
const isCallingBack = ({ overflow }: Config): boolean => overflow.kind === 'call-back'

const inFleet = (rule: Rule) =>
  when(rule, ({ fleet }) => fleet.redisUrl !== undefined, 'this is no fleet: set REDIS_URL')
const withoutLimitsFile = (rule: Rule, why: string) => when(rule, ({ fleet }) => fleet.limitsFile === undefined, why)
/** A worker does not know the queue of its pods. */
const withQueue = (rule: Rule) =>
  when(
    rule,
    ({ fleet }, _, role) => role === 'worker' || fleet.limitsFile !== undefined || fleet.queueMax > 0,
    'no caller waits: set QUEUE_MAX',
  )
const withCallBacks = (rule: Rule) => when(rule, isCallingBack, 'nobody is called back: set QUEUE_OVERFLOW=call-back')
const vad = (kind: 'server' | 'semantic') =>
  when(pods, ({ model }) => model.turnDetection.kind === kind, `VAD is another: set VAD=${kind}`)
const withWebhook = (rule: Rule) =>
  when(rule, (_, given) => given.has('CRM_WEBHOOK_URL'), 'no record is sent: set CRM_WEBHOOK_URL')
const withModelAnalysis = (rule: Rule) =>
  when(rule, (config) => config.work.analysis.kind === 'model', 'rules judge the calls: set ANALYSIS=model')
const withAgentModule = (rule: Rule) =>
  when(rule, ({ agentModule }) => agentModule !== undefined, 'there is no agent of your own: set AGENT_MODULE')
const offline = (rule: Rule) =>
  when(rule, ({ model }) => model.endpoint.kind === 'none', 'a real model answers, not the offline one')

/** A message and a call-back need a store; the worker makes the call. */
const overflow: Rule = (role, config, given) => {
  if (role === 'worker' && isCallingBack(config)) return 'here'
  const isKept = config.overflow.kind === 'voicemail' || isCallingBack(config)
  const kept = when(pods, () => !isKept || hasDatabase(config, role), 'nothing keeps it here: set DATABASE_URL')
  return withQueue(kept)(role, config, given)
}

/** The key of the speech model is the analysis' key too where both are asked at one host. */
const openAiKey: Rule = (role, config, given) => {
  const isAnalysis = config.work.analysis.kind === 'model' && config.work.analysis.key !== undefined
  const speech = when(pods, ({ model }) => model.endpoint.kind !== 'azure', 'the model is at Azure')(
    role,
    config,
    given,
  )
  return speech !== 'here' && isAnalysis ? work(role, config, given) : speech
}

/** The pools of the limits file may name no model of their own. */
const openAiModel: Rule = (role, config, given) => {
  const { endpoint, name } = config.model
  const isAsked = endpoint.kind !== 'azure' && endpoint.model === name
  const where = endpoint.kind === 'azure' ? 'AZURE_OPENAI_DEPLOYMENT' : 'OPENAI_REALTIME_URL'
  const rule = when(pods, ({ fleet }) => isAsked || fleet.limitsFile !== undefined, `${where} names the model`)
  return rule(role, config, given)
}

/** The REST API is asked by a worker, by the pods of a fleet about lost calls, and by role all to call back. */
const restApi: Rule = (role, config, given) => {
  if (!hasCredentials(config)) return { why: 'the REST API is not asked: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN' }
  if (role === 'worker') return 'here'
  if (isEmbedded(role, config) && isCallingBack(config)) return 'here'
  const pod = inFleet(pods)(role, config, given)
  return pod !== 'here' && config.fleet.databaseUrl !== undefined ? 'elsewhere' : pod
}

/** [US1] */
const RULES: { readonly [K in VariableName]: Rule } = {
  HOST: (role, { ops }) => (role === 'worker' && ops.listener !== undefined ? 'elsewhere' : 'here'),
  PORT: (role, { ops }) => (role === 'worker' && ops.listener !== undefined ? 'elsewhere' : 'here'),
  OPS_HOST: when(
    everywhere,
    ({ ops }) => ops.listener !== undefined,
    'operators have no listener of their own: set OPS_PORT',
  ),
  OPS_PORT: everywhere,
  PUBLIC_BASE_URL: workersToo(hasCredentials),
  TRUSTED_PROXIES: everywhere,
  POD_NAME: everywhere,
  NODE_ENV: everywhere,
  TWILIO_ACCOUNT_SID: workersToo(hasCredentials),
  TWILIO_AUTH_TOKEN: workersToo(hasCredentials),
  TWILIO_AUTH_TOKEN_SECONDARY: workersToo(hasCredentials),
  TWILIO_SIGNATURE_CHECK: pods,
  TWILIO_API_BASE_URL: restApi,
  STREAM_TOKEN_SECRET: pods,
  STREAM_TOKEN_SECRET_SECONDARY: pods,
  STREAM_TOKEN_TTL_MS: pods,
  FALLBACK_NUMBER: pods,
  OPENAI_API_KEY: openAiKey,
  // Its host says whether OPENAI_API_KEY is the analysis' key.
  OPENAI_REALTIME_URL: workersToo((_, given) => given.has('OPENAI_API_KEY')),
  OPENAI_REALTIME_MODEL: openAiModel,
  AZURE_OPENAI_ENDPOINT: pods,
  AZURE_OPENAI_API_KEY: pods,
  AZURE_OPENAI_DEPLOYMENT: pods,
  MODEL_AUDIO: pods,
  MODEL_CONNECT_MS: pods,
  MODEL_STALL_MS: pods,
  TURN_MAX_MS: pods,
  TURN_FILLER_MS: pods,
  TOOL_MAX_MS: pods,
  MODEL_MAX_OUTPUT_TOKENS: pods,
  MODEL_SESSION_MAX_MS: pods,
  VAD: pods,
  VAD_THRESHOLD: vad('server'),
  VAD_PREFIX_MS: vad('server'),
  VAD_SILENCE_MS: vad('server'),
  VAD_IDLE_TIMEOUT_MS: vad('server'),
  VAD_EAGERNESS: vad('semantic'),
  TRANSCRIPTION_MODEL: pods,
  TRANSCRIPTION_LANGUAGE: when(
    pods,
    ({ model }) => model.transcriptionModel !== undefined,
    'TRANSCRIPTION_MODEL is off',
  ),
  CALLS_MAX: pods,
  CALLS_PER_CALLER: pods,
  CALLS_WITHHELD_PERCENT: when(
    pods,
    ({ call }) => call.callsPerCaller > 0,
    'no caller is bounded: CALLS_PER_CALLER is 0',
  ),
  TENANT_MINUTES_PER_DAY: pods,
  TENANT_MONEY_PER_DAY: pods,
  TRANSFER_ALLOW: workersToo(isCallingBack),
  TRANSFER_MAX_MS: pods,
  TRANSFERS_PER_CALLER: pods,
  TRANSFERS_WITHHELD: pods,
  SILENCE_ASK_MS: pods,
  SILENCE_END_MS: when(pods, ({ call }) => call.silenceAskMs > 0, 'nobody is asked: SILENCE_ASK_MS is 0'),
  CALL_BUDGET: pods,
  CALL_MAX_MS: everywhere,
  DRAIN_DEADLINE_MS: pods,
  PLAYOUT_LEAD_MS: pods,
  PLAYOUT_CHUNK_MS: pods,
  MARK_EVERY_MS: pods,
  APPEND_COALESCE: pods,
  APPEND_COALESCE_ABOVE_CALLS: when(
    pods,
    ({ model }) => model.appendCoalesce.kind === 'auto',
    'APPEND_COALESCE is not auto',
  ),
  MEDIA_WATCHDOG_MS: pods,
  OUTBOUND_BUFFER_MAX_BYTES: pods,
  TRANSCRIPT_MAX_ITEMS: pods,
  AGENT_MODULE: pods,
  AGENT_LOAD_MS: withAgentModule(pods),
  AGENT_RELOAD: withAgentModule(pods),
  PACK: when(pods, ({ agentModule }) => agentModule === undefined, 'AGENT_MODULE answers, no pack'),
  DEMO_CALL: roleAll,
  EXIT_AFTER_DEMO: roleAll,
  OFFLINE_TALK_S: offline(roleAll),
  OFFLINE_TOOL_EVERY: offline(withAgentModule(roleAll)),
  REDIS_URL: everywhere,
  DATABASE_URL: everywhere,
  DATABASE_REPLICA_URL: workers,
  DATABASE_POOL_MAX: when(
    everywhere,
    ({ fleet }) => fleet.databaseUrl !== undefined,
    'there are no connections: set DATABASE_URL',
  ),
  EMBEDDED_DATABASE: when(roleAll, ({ fleet }) => fleet.databaseUrl === undefined, 'DATABASE_URL takes its place'),
  CELL: inFleet(everywhere),
  POD_ADDRESS: inFleet(pods),
  CEILING_CALLS: withoutLimitsFile(pods, 'the pools of LIMITS_FILE say it'),
  LIMITS_FILE: workersToo(isCallingBack),
  QUEUE_MAX: withoutLimitsFile(pods, 'queueMax of LIMITS_FILE says it'),
  QUEUE_WAIT_MAX_MS: withQueue(pods),
  QUEUE_OVERFLOW: overflow,
  CALLBACK_FROM: withCallBacks(overflow),
  CALLBACK_EXPIRES_MS: withCallBacks(work),
  CALLER_LANGUAGE: pods,
  HOLD_AUDIO_URL: withQueue(pods),
  DRAIN_NATURAL_MS: inFleet(pods),
  HISTORY_FILE: pods,
  WORK_POLL_MS: work,
  WORK_DRAIN_MS: workers,
  WORK_SILENT_MS: work,
  WORK_ANALYSIS_MAX: work,
  ANALYSIS: work,
  ANALYSIS_URL: withModelAnalysis(work),
  ANALYSIS_API_KEY: withModelAnalysis(work),
  ANALYSIS_MODEL: withModelAnalysis(work),
  // A pod needs them for the budget of a call and of a tenant.
  PRICES: (role, config, given) => (role !== 'worker' && hasBudget(config) ? 'here' : work(role, config, given)),
  CRM_WEBHOOK_URL: work,
  CRM_WEBHOOK_SECRET: withWebhook(work),
  CRM_WEBHOOK_SECRET_SECONDARY: withWebhook(work),
  CRM_WEBHOOK_KEYS: withWebhook(work),
  CRM_ALLOW_PRIVATE: withWebhook(work),
  CRM_TIMEOUT_MS: withWebhook(work),
  ADMIN_TOKEN: everywhere,
  ADMIN_TOKEN_SECONDARY: everywhere,
  OPERATOR_TOKENS: everywhere,
  DATA_KEYS: when(
    everywhere,
    (config, _, role) => hasDatabase(config, role),
    'nothing keeps data here: set DATABASE_URL',
  ),
  RETENTION_DAYS: work,
  LOG_LEVEL: everywhere,
  LOG_PII: everywhere,
  // Spans are of calls and turns.
  OTEL_EXPORTER_OTLP_ENDPOINT: pods,
  // The image sets it for whichever role is started.
  DATA_DIR: (role) => (role === 'all' ? 'here' : 'elsewhere'),
}

/** Who uses a setting that is given. */
export function useOf(name: VariableName, role: ServingRole, config: Config): Use {
  return RULES[name](role, config, new Set(config.given))
}

/** [US2][US4] The given settings that do nothing in this role, in the order of docs/configuration.md. */
export function unusedSettings(
  role: ServingRole,
  config: Config,
): { elsewhere: VariableName[]; nowhere: { name: VariableName; why: string }[] } {
  const uses = config.given.map((name) => ({ name, use: useOf(name, role, config) }))
  return {
    elsewhere: uses.filter(({ use }) => use === 'elsewhere').map(({ name }) => name),
    nowhere: uses.flatMap(({ name, use }) => (typeof use === 'string' ? [] : [{ name, why: use.why }])),
  }
}
