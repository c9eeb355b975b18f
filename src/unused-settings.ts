// Which settings do nothing in a role, so that none is ignored in silence. Rules:
// US1: every variable has a row: who uses it, and when. The compiler refuses a variable without one.
// US2: a setting that is given and does nothing is told at the start, by its name: as information when another role of the
//      same plane uses it, as a warning when nothing uses it in this set-up.
// US3: a variable that is not set is never told.
import type { Config } from './config.ts'
import type { VariableName } from './variables.ts'

/** The roles that stay and serve. */
export type ServingRole = 'all' | 'edge' | 'worker'

/** What a setting does: something here, something in another role of the same plane, or nothing at all. */
type Use = 'here' | 'elsewhere' | 'nowhere'

type Rule = (role: ServingRole, config: Config, given: ReadonlySet<VariableName>) => Use

const everywhere: Rule = () => 'here'
/** What takes calls. */
const pods: Rule = (role) => (role === 'worker' ? 'elsewhere' : 'here')
/** What works after calls: a worker, role all on its own database, and nobody when a pod has no database. */
const work: Rule = (role, config) => {
  if (role === 'worker') return 'here'
  if (config.fleet.databaseUrl !== undefined) return 'elsewhere'
  return isEmbedded(role, config) ? 'here' : 'nowhere'
}
/** What only role worker uses, and not the worker inside role all. */
const workers: Rule = (role, config) => {
  if (role === 'worker') return 'here'
  return config.fleet.databaseUrl === undefined ? 'nowhere' : 'elsewhere'
}
const roleAll: Rule = (role) => (role === 'all' ? 'here' : 'nowhere')

/** `rule` where `holds`; else nobody uses it. */
const when =
  (rule: Rule, holds: (config: Config, given: ReadonlySet<VariableName>, role: ServingRole) => boolean): Rule =>
  (role, config, given) =>
    holds(config, given, role) ? rule(role, config, given) : 'nowhere'

const isEmbedded = (role: ServingRole, { fleet }: Config): boolean =>
  role === 'all' && fleet.databaseUrl === undefined && fleet.isEmbeddedAllowed
const hasDatabase = (config: Config, role: ServingRole): boolean =>
  config.fleet.databaseUrl !== undefined || isEmbedded(role, config)

/** The limits file may have budgets of tenants. */
const hasBudget = ({ call, fleet }: Config): boolean =>
  call.callBudget !== undefined || call.tenantDay.money !== undefined || fleet.limitsFile !== undefined

const inFleet = (rule: Rule) => when(rule, ({ fleet }) => fleet.redisUrl !== undefined)
const withoutLimitsFile = (rule: Rule) => when(rule, ({ fleet }) => fleet.limitsFile === undefined)
const withQueue = (rule: Rule) => when(rule, ({ fleet }) => fleet.limitsFile !== undefined || fleet.queueMax > 0)
const withCallBacks = (rule: Rule) => when(rule, ({ overflow }) => overflow.kind === 'call-back')
const onOpenAi = (rule: Rule) => when(rule, ({ model }) => model.endpoint.kind !== 'azure')
const vad = (kind: 'server' | 'semantic') => when(pods, ({ model }) => model.turnDetection.kind === kind)
const withWebhook = (rule: Rule) => when(rule, (_, given) => given.has('CRM_WEBHOOK_URL'))
const withModelAnalysis = (rule: Rule) => when(rule, (config) => config.work.analysis.kind === 'model')
const withAgentModule = (rule: Rule) => when(rule, ({ agentModule }) => agentModule !== undefined)

/** The key of the speech model is the analysis' key too where both are asked at one host. */
const openAiKey: Rule = (role, config, given) => {
  const isAnalysis = config.work.analysis.kind === 'model' && config.work.analysis.key !== undefined
  const speech = onOpenAi(pods)(role, config, given)
  return speech !== 'here' && isAnalysis ? work(role, config, given) : speech
}

/** [US1] */
const RULES: { readonly [K in VariableName]: Rule } = {
  HOST: (role, { ops }) => (role === 'worker' && ops.listener !== undefined ? 'elsewhere' : 'here'),
  PORT: (role, { ops }) => (role === 'worker' && ops.listener !== undefined ? 'elsewhere' : 'here'),
  OPS_HOST: when(everywhere, ({ ops }) => ops.listener !== undefined),
  OPS_PORT: everywhere,
  PUBLIC_BASE_URL: pods,
  TRUSTED_PROXIES: pods,
  POD_NAME: everywhere,
  NODE_ENV: everywhere,
  TWILIO_ACCOUNT_SID: everywhere,
  TWILIO_AUTH_TOKEN: everywhere,
  TWILIO_AUTH_TOKEN_SECONDARY: everywhere,
  TWILIO_SIGNATURE_CHECK: pods,
  // The REST API is asked by a worker's sweep, and by the pods of a fleet about lost calls.
  TWILIO_API_BASE_URL: (role, config, given) => (role === 'worker' ? 'here' : inFleet(pods)(role, config, given)),
  STREAM_TOKEN_SECRET: pods,
  STREAM_TOKEN_SECRET_SECONDARY: pods,
  STREAM_TOKEN_TTL_MS: pods,
  FALLBACK_NUMBER: pods,
  OPENAI_API_KEY: openAiKey,
  OPENAI_REALTIME_URL: pods,
  OPENAI_REALTIME_MODEL: onOpenAi(pods),
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
  TRANSCRIPTION_LANGUAGE: when(pods, ({ model }) => model.transcriptionModel !== undefined),
  CALLS_MAX: pods,
  CALLS_PER_CALLER: pods,
  CALLS_WITHHELD_PERCENT: pods,
  TENANT_MINUTES_PER_DAY: pods,
  TENANT_MONEY_PER_DAY: pods,
  TRANSFER_ALLOW: pods,
  TRANSFER_MAX_MS: pods,
  TRANSFERS_PER_CALLER: pods,
  TRANSFERS_WITHHELD: pods,
  SILENCE_ASK_MS: pods,
  SILENCE_END_MS: pods,
  CALL_BUDGET: pods,
  CALL_MAX_MS: everywhere,
  DRAIN_DEADLINE_MS: pods,
  PLAYOUT_LEAD_MS: pods,
  PLAYOUT_CHUNK_MS: pods,
  MARK_EVERY_MS: pods,
  APPEND_COALESCE: pods,
  APPEND_COALESCE_ABOVE_CALLS: when(pods, ({ model }) => model.appendCoalesce.kind === 'auto'),
  MEDIA_WATCHDOG_MS: pods,
  OUTBOUND_BUFFER_MAX_BYTES: pods,
  TRANSCRIPT_MAX_ITEMS: pods,
  AGENT_MODULE: pods,
  AGENT_LOAD_MS: withAgentModule(pods),
  AGENT_RELOAD: withAgentModule(pods),
  PACK: when(pods, ({ agentModule }) => agentModule === undefined),
  DEMO_CALL: roleAll,
  EXIT_AFTER_DEMO: roleAll,
  OFFLINE_TALK_S: when(roleAll, ({ model }) => model.endpoint.kind === 'none'),
  OFFLINE_TOOL_EVERY: when(withAgentModule(roleAll), ({ model }) => model.endpoint.kind === 'none'),
  REDIS_URL: everywhere,
  DATABASE_URL: everywhere,
  DATABASE_REPLICA_URL: workers,
  DATABASE_POOL_MAX: when(everywhere, ({ fleet }) => fleet.databaseUrl !== undefined),
  EMBEDDED_DATABASE: when(roleAll, ({ fleet }) => fleet.databaseUrl === undefined),
  CELL: inFleet(everywhere),
  POD_ADDRESS: inFleet(pods),
  CEILING_CALLS: withoutLimitsFile(pods),
  LIMITS_FILE: pods,
  QUEUE_MAX: withoutLimitsFile(pods),
  QUEUE_WAIT_MAX_MS: withQueue(pods),
  QUEUE_OVERFLOW: withQueue(everywhere),
  CALLBACK_FROM: withCallBacks(everywhere),
  CALLBACK_EXPIRES_MS: withCallBacks(work),
  CALLER_LANGUAGE: withQueue(pods),
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
  DATA_KEYS: when(everywhere, (config, _, role) => hasDatabase(config, role)),
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

/** [US2] The given settings that do nothing in this role, in the order of docs/configuration.md. */
export function unusedSettings(role: ServingRole, config: Config): Record<Exclude<Use, 'here'>, VariableName[]> {
  const used = (use: Use) => config.given.filter((name) => useOf(name, role, config) === use)
  return { elsewhere: used('elsewhere'), nowhere: used('nowhere') }
}
