// Each setting is obeyed or told: a table of every variable and role, the limits of a pod alone on real sockets, and what processes say at their start.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Config, readConfig } from '../src/config.ts'
import { until } from '../src/kit/testing/patience.ts'
import { sorrySentence } from '../src/pod/call-settings.ts'
import { limitsOf } from '../src/pod/pod-settings.ts'
import { type ServingRole, unusedSettings, useOf } from '../src/unused-settings.ts'
import { VARIABLES, type VariableName } from '../src/variables.ts'
import { Plane, type PlaneParts, stay } from './plane.ts'
import { endPrograms, run } from './work/worker-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'voiceplane-settings-'))
const limitsFile = join(folder, 'limits.json')
writeFileSync(limitsFile, JSON.stringify({ pools: [{ pool: 'own', callsMax: 3 }], queueMax: 2 }))
after(() => {
  endPrograms()
  rmSync(folder, { recursive: true, force: true })
})

function configOf(env: Record<string, string>): Config {
  const reading = readConfig(env)
  assert.equal(reading.kind, 'ok', JSON.stringify(reading))
  return (reading as { config: Config }).config
}

const SECRET = 's'.repeat(40)
const DATABASE = { DATABASE_URL: 'postgres://db/voice' }
const FLEET = { ...DATABASE, REDIS_URL: 'redis://cache', POD_NAME: 'pod-a', STREAM_TOKEN_SECRET: SECRET }
/** The set-ups of the table, in its order. */
const SETUPS: readonly [string, ServingRole, Record<string, string>][] = [
  ['npm start', 'all', {}],
  ['a pod alone', 'edge', {}],
  ['a pod of a fleet', 'edge', FLEET],
  ['a worker', 'worker', FLEET],
]
/** h: obeyed here; e: told as another role's; n: warned of. One letter a set-up. */
const TABLE: Record<string, string> = {
  hhhh: 'HOST PORT OPS_PORT POD_NAME NODE_ENV CALL_MAX_MS REDIS_URL DATABASE_URL ADMIN_TOKEN ADMIN_TOKEN_SECONDARY OPERATOR_TOKENS LOG_LEVEL LOG_PII TRUSTED_PROXIES',
  hhhe: 'PUBLIC_BASE_URL TWILIO_SIGNATURE_CHECK STREAM_TOKEN_SECRET STREAM_TOKEN_SECRET_SECONDARY STREAM_TOKEN_TTL_MS FALLBACK_NUMBER OPENAI_API_KEY OPENAI_REALTIME_URL OPENAI_REALTIME_MODEL AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY AZURE_OPENAI_DEPLOYMENT MODEL_AUDIO MODEL_CONNECT_MS MODEL_STALL_MS TURN_MAX_MS TURN_FILLER_MS TOOL_MAX_MS MODEL_MAX_OUTPUT_TOKENS MODEL_SESSION_MAX_MS VAD VAD_THRESHOLD VAD_PREFIX_MS VAD_SILENCE_MS VAD_IDLE_TIMEOUT_MS TRANSCRIPTION_MODEL TRANSCRIPTION_LANGUAGE CALLS_MAX CALLS_PER_CALLER CALLS_WITHHELD_PERCENT TENANT_MINUTES_PER_DAY TENANT_MONEY_PER_DAY TRANSFER_ALLOW TRANSFER_MAX_MS TRANSFERS_PER_CALLER TRANSFERS_WITHHELD SILENCE_ASK_MS SILENCE_END_MS CALL_BUDGET DRAIN_DEADLINE_MS PLAYOUT_LEAD_MS PLAYOUT_CHUNK_MS MARK_EVERY_MS APPEND_COALESCE APPEND_COALESCE_ABOVE_CALLS MEDIA_WATCHDOG_MS OUTBOUND_BUFFER_MAX_BYTES TRANSCRIPT_MAX_ITEMS AGENT_MODULE PACK CEILING_CALLS LIMITS_FILE QUEUE_MAX HISTORY_FILE OTEL_EXPORTER_OTLP_ENDPOINT TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN TWILIO_AUTH_TOKEN_SECONDARY CALLER_LANGUAGE',
  nnhh: 'DATABASE_POOL_MAX CELL',
  nnhe: 'POD_ADDRESS DRAIN_NATURAL_MS',
  hneh: 'WORK_POLL_MS WORK_SILENT_MS WORK_ANALYSIS_MAX ANALYSIS PRICES CRM_WEBHOOK_URL RETENTION_DAYS',
  nneh: 'WORK_DRAIN_MS DATABASE_REPLICA_URL',
  hnhh: 'DATA_KEYS',
  hnnn: 'DEMO_CALL EXIT_AFTER_DEMO OFFLINE_TALK_S EMBEDDED_DATABASE',
  heee: 'DATA_DIR',
  nnne: 'QUEUE_WAIT_MAX_MS QUEUE_OVERFLOW HOLD_AUDIO_URL',
  // What hangs on another setting, which is not given here.
  nnnn: 'OPS_HOST VAD_EAGERNESS AGENT_LOAD_MS AGENT_RELOAD OFFLINE_TOOL_EVERY CALLBACK_FROM CALLBACK_EXPIRES_MS ANALYSIS_URL ANALYSIS_API_KEY ANALYSIS_MODEL CRM_WEBHOOK_SECRET CRM_WEBHOOK_SECRET_SECONDARY CRM_WEBHOOK_KEYS CRM_ALLOW_PRIVATE CRM_TIMEOUT_MS TWILIO_API_BASE_URL',
}

test('[O13] every variable has its place in the table, for each role', () => {
  const names = Object.values(TABLE).flatMap((row) => row.split(' '))
  assert.deepEqual(names.toSorted(), Object.keys(VARIABLES).toSorted())
  const wrong: string[] = []
  for (const [uses, row] of Object.entries(TABLE))
    for (const name of row.split(' ') as VariableName[])
      for (const [at, [title, role, env]] of SETUPS.entries()) {
        const use = useOf(name, role, configOf(env))
        const letter = typeof use === 'string' ? use[0] : 'n'
        if (letter !== uses[at]) wrong.push(`${name}, ${title}: ${JSON.stringify(use)}, the table says ${uses[at]}`)
      }
  assert.deepEqual(wrong, [])
})

test('[O13] what hangs on another setting is used when that is given', () => {
  const used = (env: Record<string, string>, role: ServingRole = 'all') => {
    const { elsewhere, nowhere } = unusedSettings(role, configOf(env))
    return [...elsewhere, ...nowhere.map(({ name }) => name)]
  }
  assert.deepEqual(used({ OPS_PORT: '9464', OPS_HOST: '127.0.0.1' }), [])
  assert.deepEqual(used({ VAD: 'semantic', VAD_EAGERNESS: 'low', VAD_SILENCE_MS: '700' }), ['VAD_SILENCE_MS'])
  assert.deepEqual(used({ QUEUE_MAX: '5', QUEUE_WAIT_MAX_MS: '9000', HOLD_AUDIO_URL: 'https://a.example/b.mp3' }), [])
  assert.deepEqual(used({ LIMITS_FILE: limitsFile, QUEUE_MAX: '5', CEILING_CALLS: '9' }), [
    'CEILING_CALLS',
    'QUEUE_MAX',
  ])
  assert.deepEqual(
    used({ CRM_WEBHOOK_URL: 'https://crm.example', CRM_WEBHOOK_SECRET: SECRET, CRM_TIMEOUT_MS: '900' }),
    [],
  )
  assert.deepEqual(used({ ANALYSIS_URL: 'https://text.example/v1', ANALYSIS_API_KEY: SECRET, ANALYSIS_MODEL: 'm' }), [])
  assert.deepEqual(used({ ANALYSIS: 'rules', ANALYSIS_MODEL: 'm' }), ['ANALYSIS_MODEL'])
  assert.deepEqual(used({ OPENAI_API_KEY: SECRET, ...FLEET }, 'worker'), ['STREAM_TOKEN_SECRET'])
  assert.deepEqual(used({ AGENT_MODULE: 'package.json', AGENT_RELOAD: 'on', PACK: 'clinic' }), ['PACK'])
})

const CALLING_BACK = {
  ...{ QUEUE_OVERFLOW: 'call-back', CALLBACK_FROM: '+15005550006', PUBLIC_BASE_URL: 'https://voice.example' },
  ...{ TWILIO_ACCOUNT_SID: `AC${'0'.repeat(32)}`, TWILIO_AUTH_TOKEN: SECRET },
}
/** What a worker uses of the settings of pods, which the table shows without their reason. */
const WORKERS_TOO: readonly [VariableName, Record<string, string>][] = [
  ['PUBLIC_BASE_URL', CALLING_BACK],
  ['TWILIO_ACCOUNT_SID', CALLING_BACK],
  ['TWILIO_AUTH_TOKEN', CALLING_BACK],
  ['TWILIO_API_BASE_URL', CALLING_BACK],
  ['TRANSFER_ALLOW', CALLING_BACK],
  ['LIMITS_FILE', CALLING_BACK],
  ['QUEUE_OVERFLOW', CALLING_BACK],
  ['CALLBACK_FROM', CALLING_BACK],
  ['CALLBACK_EXPIRES_MS', CALLING_BACK],
  ['OPENAI_API_KEY', { OPENAI_API_KEY: SECRET }],
  ['OPENAI_REALTIME_URL', { OPENAI_API_KEY: SECRET }],
]

test('[P65] what a worker uses of the settings of pods is told to be used', () => {
  for (const [name, env] of WORKERS_TOO) {
    assert.equal(useOf(name, 'worker', configOf({ ...FLEET, ...env })), 'here', name)
    if (name !== 'CALLBACK_EXPIRES_MS')
      assert.notEqual(useOf(name, 'edge', configOf({ ...FLEET, ...env, QUEUE_MAX: '5' })), 'elsewhere', name)
  }
})

const AZURE = {
  ...{ AZURE_OPENAI_ENDPOINT: 'https://a.openai.azure.com', AZURE_OPENAI_API_KEY: SECRET },
  AZURE_OPENAI_DEPLOYMENT: 'realtime',
}
/** Each reason, the settings that it is given for, and a set-up that shows it. */
const REASONS: readonly [why: string, names: string, role: ServingRole, env: Record<string, string>][] = [
  ['only role all uses it (npm start)', 'DEMO_CALL EXIT_AFTER_DEMO OFFLINE_TALK_S EMBEDDED_DATABASE', 'edge', {}],
  [
    'nothing works after calls here: set DATABASE_URL',
    'WORK_POLL_MS ANALYSIS PRICES CRM_WEBHOOK_URL RETENTION_DAYS',
    'edge',
    {},
  ],
  ['only role worker uses it: set DATABASE_URL', 'WORK_DRAIN_MS DATABASE_REPLICA_URL', 'all', {}],
  ['nothing keeps data here: set DATABASE_URL', 'DATA_KEYS', 'edge', {}],
  [
    'nothing keeps it here: set DATABASE_URL',
    'QUEUE_OVERFLOW',
    'edge',
    { QUEUE_MAX: '5', QUEUE_OVERFLOW: 'voicemail' },
  ],
  ['there are no connections: set DATABASE_URL', 'DATABASE_POOL_MAX', 'all', {}],
  ['DATABASE_URL takes its place', 'EMBEDDED_DATABASE', 'all', DATABASE],
  ['this is no fleet: set REDIS_URL', 'CELL POD_ADDRESS DRAIN_NATURAL_MS', 'all', {}],
  [
    'this is no fleet: set REDIS_URL',
    'TWILIO_API_BASE_URL',
    'edge',
    { TWILIO_ACCOUNT_SID: CALLING_BACK.TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN: SECRET },
  ],
  ['the REST API is not asked: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN', 'TWILIO_API_BASE_URL', 'edge', FLEET],
  ['no caller waits: set QUEUE_MAX', 'QUEUE_WAIT_MAX_MS QUEUE_OVERFLOW HOLD_AUDIO_URL', 'edge', FLEET],
  [
    'nobody is called back: set QUEUE_OVERFLOW=call-back',
    'CALLBACK_FROM CALLBACK_EXPIRES_MS',
    'edge',
    { ...FLEET, QUEUE_MAX: '5' },
  ],
  ['the pools of LIMITS_FILE say it', 'CEILING_CALLS', 'edge', { LIMITS_FILE: limitsFile }],
  ['queueMax of LIMITS_FILE says it', 'QUEUE_MAX', 'edge', { LIMITS_FILE: limitsFile }],
  ['operators have no listener of their own: set OPS_PORT', 'OPS_HOST', 'edge', {}],
  ['VAD is another: set VAD=semantic', 'VAD_EAGERNESS', 'edge', {}],
  [
    'VAD is another: set VAD=server',
    'VAD_THRESHOLD VAD_PREFIX_MS VAD_SILENCE_MS VAD_IDLE_TIMEOUT_MS',
    'edge',
    { VAD: 'semantic' },
  ],
  ['TRANSCRIPTION_MODEL is off', 'TRANSCRIPTION_LANGUAGE', 'edge', { TRANSCRIPTION_MODEL: 'off' }],
  ['APPEND_COALESCE is not auto', 'APPEND_COALESCE_ABOVE_CALLS', 'edge', { APPEND_COALESCE: '3' }],
  ['no caller is bounded: CALLS_PER_CALLER is 0', 'CALLS_WITHHELD_PERCENT', 'edge', { CALLS_PER_CALLER: '0' }],
  ['nobody is asked: SILENCE_ASK_MS is 0', 'SILENCE_END_MS', 'edge', { SILENCE_ASK_MS: '0' }],
  ['the model is at Azure', 'OPENAI_API_KEY', 'edge', { ...AZURE, ANALYSIS: 'rules' }],
  ['AZURE_OPENAI_DEPLOYMENT names the model', 'OPENAI_REALTIME_MODEL', 'edge', AZURE],
  [
    'OPENAI_REALTIME_URL names the model',
    'OPENAI_REALTIME_MODEL',
    'edge',
    { OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/?model=other' },
  ],
  ['a real model answers, not the offline one', 'OFFLINE_TALK_S OFFLINE_TOOL_EVERY', 'all', { OPENAI_API_KEY: SECRET }],
  ['there is no agent of your own: set AGENT_MODULE', 'AGENT_LOAD_MS AGENT_RELOAD OFFLINE_TOOL_EVERY', 'all', {}],
  ['AGENT_MODULE answers, no pack', 'PACK', 'edge', { AGENT_MODULE: 'package.json' }],
  [
    'no record is sent: set CRM_WEBHOOK_URL',
    'CRM_WEBHOOK_SECRET CRM_WEBHOOK_KEYS CRM_ALLOW_PRIVATE CRM_TIMEOUT_MS',
    'worker',
    FLEET,
  ],
  ['rules judge the calls: set ANALYSIS=model', 'ANALYSIS_URL ANALYSIS_API_KEY ANALYSIS_MODEL', 'worker', FLEET],
]

test('[P65] each setting that does nothing is told why, and no reason is left without an example', () => {
  for (const [why, names, role, env] of REASONS)
    for (const name of names.split(' ') as VariableName[])
      assert.deepEqual(useOf(name, role, configOf(env)), { why }, `${name} in ${role}`)
  const known = new Set(REASONS.map(([why]) => why))
  const setups = [
    ...SETUPS.map(([, role, env]) => [role, env] as const),
    ...REASONS.map(([, , role, env]) => [role, env] as const),
  ]
  for (const [role, env] of setups)
    for (const name of Object.keys(VARIABLES) as VariableName[]) {
      const use = useOf(name, role, configOf(env))
      if (typeof use !== 'string') assert.ok(known.has(use.why), `${name} in ${role}: ${use.why}`)
    }
})

test('[P65] the language of callers is used outside the queue too', () => {
  assert.equal(useOf('CALLER_LANGUAGE', 'edge', configOf({})), 'here')
  assert.notEqual(sorrySentence(configOf({ CALLER_LANGUAGE: 'de' })), sorrySentence(configOf({})))
})

test('[O13] a pod alone has the ceiling that is given, and its own room otherwise', () => {
  const ceiling = (env: Record<string, string>) => limitsOf(configOf(env)).cell.pools.map(({ callsMax }) => callsMax)
  assert.deepEqual(ceiling({ CALLS_MAX: '1200' }), [1200])
  assert.deepEqual(ceiling({ CALLS_MAX: '1200', CEILING_CALLS: '3' }), [3])
  assert.deepEqual(ceiling({ CALLS_MAX: '40', CEILING_CALLS: '300' }), [40])
  assert.deepEqual(ceiling(FLEET), [1000])
  assert.deepEqual(ceiling({ ...FLEET, CEILING_CALLS: '70' }), [70])
  assert.deepEqual(ceiling({ LIMITS_FILE: limitsFile }), [3])
})

/** Offers six calls at once to a pod alone; gives how many of them spoke with the agent. */
async function served(env: Record<string, string>): Promise<number> {
  const parts: PlaneParts = { env: { CALLS_PER_CALLER: '0', ...env } }
  let count = 0
  await Plane.with(parts, async (plane) => {
    const reports = await Promise.all(Array.from({ length: 6 }, () => plane.call(stay(3_000))))
    count = reports.filter(({ agentPlayedMs }) => agentPlayedMs > 0).length
  })
  return count
}

test('[LIMIT-1][O13] six calls at a pod alone: three are taken with CEILING_CALLS=3, or with three in LIMITS_FILE', async () => {
  assert.equal(await served({}), 6)
  assert.equal(await served({ CEILING_CALLS: '3' }), 3)
  writeFileSync(limitsFile, JSON.stringify({ pools: [{ pool: 'default', callsMax: 3 }] }))
  assert.equal(await served({ LIMITS_FILE: limitsFile }), 3)
})

test('[OPS-7][O13] [P65] what does nothing is told at the start, by name, in one line and with the reason', async () => {
  const edge = run(
    { PORT: '0', OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/', RETENTION_DAYS: '30', DEMO_CALL: 'off' },
    'edge',
  )
  const all = run({ PORT: '0', DATA_DIR: folder, EXIT_AFTER_DEMO: 'on', DEMO_CALL: 'off', VAD_EAGERNESS: 'low' }, 'all')
  const isTold = () => [edge, all].every((one) => /do nothing here/.test(one.errors()))
  await until(() => `${edge.said()}\n${all.said()}`, isTold)
  const told = (text: string) => text.split('\n').filter((line) => line.includes('settings do nothing here'))
  assert.deepEqual(
    told(edge.errors()).map((line) => JSON.parse(line).settings),
    [['DEMO_CALL', 'RETENTION_DAYS']],
  )
  assert.deepEqual(JSON.parse(told(edge.errors())[0]!).why, {
    DEMO_CALL: 'only role all uses it (npm start)',
    RETENTION_DAYS: 'nothing works after calls here: set DATABASE_URL',
  })
  assert.deepEqual(
    told(all.errors()).map((line) => JSON.parse(line).settings),
    [['VAD_EAGERNESS']],
  )
})
