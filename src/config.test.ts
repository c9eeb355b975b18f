// Configuration: defaults, all problems at once, secrets by file, signature checks, and the two pages held to the code.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Config, formatProblems, readConfig, withPort } from './config.ts'
import { CONFIGURED_ROLES, type ConfiguredRole } from './config-checks.ts'
import { ERROR_CODES } from './kit/errors.ts'
import { type Problem, VARIABLES, type Variable } from './variables.ts'

const TOKEN = '12345678901234567890123456789012'
const folder = mkdtempSync(join(tmpdir(), 'voiceplane-config-'))
after(() => rmSync(folder, { recursive: true }))

function configOf(env: Record<string, string>): Config {
  const read = readConfig(env)
  if (read.kind === 'invalid') assert.fail(formatProblems(read.problems))
  return read.config
}

function problemsOf(env: Record<string, string>): Problem[] {
  const read = readConfig(env)
  return read.kind === 'invalid' ? read.problems : []
}

const variablesOf = (env: Record<string, string>) => problemsOf(env).map(({ variable }) => variable)

function fileWith(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** The rows of a page: first cell without back quotes → second cell. */
function rowsOf(page: string): Map<string, string> {
  const text = readFileSync(new URL(`../docs/${page}`, import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| (.+?) \|/gm)].map((match) => [match[1]!, match[2]!] as const)
  assert.equal(new Set(rows.map(([name]) => name)).size, rows.length, `${page} names something twice`)
  return new Map(rows)
}

test('docs/configuration.md lists each variable with its default, and no other', () => {
  const shown = Object.entries(VARIABLES).map(([name, { shown }]) => [name, shown === 'unset' ? shown : `\`${shown}\``])
  assert.deepEqual(Object.fromEntries(rowsOf('configuration.md')), Object.fromEntries(shown))
})

test('docs/configuration.md marks exactly the secrets as secret', () => {
  const text = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8')
  const marked = [...text.matchAll(/^\| `([A-Z_]+)` \| .+? \| \*secret\*/gm)].map((match) => match[1])
  const secrets = (Object.entries(VARIABLES) as [string, Variable<unknown>][]).filter(([, { secret }]) => secret)
  assert.deepEqual(marked.sort(), secrets.map(([name]) => name).sort())
})

test('[ER2] docs/errors.md lists each error code with its meaning, and no other', () => {
  assert.deepEqual(Object.fromEntries(rowsOf('errors.md')), ERROR_CODES)
})

test('an empty environment is a working configuration on loopback, the offline model included', () => {
  const config = configOf({})
  assert.deepEqual(
    { ...config.http },
    {
      host: '127.0.0.1',
      port: 8080,
      publicBaseUrl: 'http://127.0.0.1:8080',
      streamBaseUrl: 'ws://127.0.0.1:8080',
      isPublicBaseUrlSet: false,
      trustedProxies: [],
    },
  )
  assert.equal(config.podName, 'pod-1')
  assert.equal(config.twilio.signatureCheck, 'off-loopback')
  assert.deepEqual(config.model.endpoint, { kind: 'none', model: 'gpt-realtime-2.1' })
  assert.deepEqual(config.model.appendCoalesce, { kind: 'auto', aboveCalls: 200 })
  assert.equal(config.call.callMaxMs, 4 * 3_600_000)
  assert.ok(config.streamToken.secret.length >= 32)
  assert.notEqual(config.streamToken.secret, configOf({}).streamToken.secret)
})

test('every default is a value that its own form accepts', () => {
  for (const [name, variable] of Object.entries(VARIABLES) as [string, Variable<unknown>][]) {
    if (variable.fallback === undefined) continue
    assert.deepEqual(variable.parse(variable.shown), { kind: 'ok', value: variable.fallback }, name)
  }
})

test('[CF1] an empty or blank variable counts as unset', () => {
  const blank = Object.fromEntries(
    Object.keys(VARIABLES).flatMap((name) => [
      [name, '  '],
      [`${name}_FILE`, ''],
    ]),
  )
  const { streamToken: _one, ...config } = configOf(blank)
  const { streamToken: _two, ...plain } = configOf({})
  assert.deepEqual(config, plain)
})

test('[CC2] each role is asked for what it uses, and for nothing that only others use', () => {
  const env = {
    NODE_ENV: 'production',
    HOST: '0.0.0.0',
    REDIS_URL: 'redis://cache',
    OPENAI_REALTIME_URL: 'wss://models.example.test/v1/realtime',
    QUEUE_OVERFLOW: 'transfer',
    AGENT_MODULE: join(folder, 'elsewhere.ts'),
    LIMITS_FILE: join(folder, 'elsewhere.json'),
    TENANT_MONEY_PER_DAY: '5',
    CRM_WEBHOOK_URL: 'https://crm.example.test/calls',
  }
  const asked = (role: ConfiguredRole) => {
    const read = readConfig(env, role)
    return read.kind === 'ok' ? [] : read.problems.map(({ variable }) => variable).sort()
  }
  const pod = [
    ...['AGENT_MODULE', 'DATABASE_URL', 'FALLBACK_NUMBER', 'LIMITS_FILE', 'OPENAI_API_KEY', 'POD_NAME'],
    ...['PUBLIC_BASE_URL', 'STREAM_TOKEN_SECRET', 'TENANT_MONEY_PER_DAY', 'TWILIO_AUTH_TOKEN'],
  ]
  const expected: Record<ConfiguredRole, string[]> = {
    all: [...pod, 'CRM_WEBHOOK_SECRET'].sort(),
    edge: pod,
    worker: ['CRM_WEBHOOK_SECRET', 'TENANT_MONEY_PER_DAY'],
    migrate: [],
    reseal: [],
  }
  for (const role of CONFIGURED_ROLES) assert.deepEqual(asked(role), expected[role], role)
})

test('the configuration is frozen to its leaves', () => {
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen))
  const config = configOf({ OPENAI_API_KEY: 'sk-12345678' })
  assert.equal(frozen(config), true)
  assert.equal(frozen(withPort(config, 1234)), true)
})

test('[CF2] all problems come at once, by name, each with its fix', () => {
  const env = {
    PORT: '80a',
    POD_NAME: 'Pod_1',
    PUBLIC_BASE_URL: 'http://voice.example.test/x?y',
    MODEL_AUDIO: 'opus',
    VAD_THRESHOLD: '2',
    PLAYOUT_LEAD_MS: '410',
    FALLBACK_NUMBER: '0123',
    AGENT_MODULE: join(folder, 'missing.ts'),
    AZURE_OPENAI_ENDPOINT: 'https://res.openai.azure.com',
  }
  const problems = problemsOf(env)
  assert.deepEqual(problems.map(({ variable }) => variable).sort(), [
    'AGENT_MODULE',
    'AZURE_OPENAI_API_KEY',
    'AZURE_OPENAI_DEPLOYMENT',
    'FALLBACK_NUMBER',
    'MODEL_AUDIO',
    'PLAYOUT_LEAD_MS',
    'POD_NAME',
    'PORT',
    'PUBLIC_BASE_URL',
    'VAD_THRESHOLD',
  ])
  for (const { variable, problem, fix } of problems) assert.ok(problem !== '' && fix.length > 8, variable)
  const text = formatProblems(problems)
  assert.match(text, /^The configuration has 10 problems:\n/)
  assert.match(text, /\n {2}MODEL_AUDIO: cannot be "opus"; write one of: pcmu, pcm16\n/)
  assert.equal(text.split('\n').length, 11)
})

test('numbers are whole, in range, and never guessed', () => {
  for (const PORT of ['-1', '65536', '1e3', '0x50', '80.0', '8080;', '８０', '9'.repeat(40)]) {
    assert.deepEqual(variablesOf({ PORT }), ['PORT'], PORT)
  }
  assert.equal(configOf({ PORT: '0' }).http.port, 0)
  assert.equal(configOf({ VAD_THRESHOLD: '.25' }).model.turnDetection.kind, 'server')
})

test('[CF3] a secret may come from a file, and its text never stands in a problem', () => {
  const path = fileWith('key', `  ${TOKEN}\n`)
  assert.deepEqual(configOf({ TWILIO_AUTH_TOKEN_FILE: path }).twilio.authTokens, [TOKEN])
  const bad = 'short secret'
  const problems = problemsOf({ OPENAI_API_KEY: bad, STREAM_TOKEN_SECRET_FILE: fileWith('short', bad) })
  assert.deepEqual(problems.map(({ variable }) => variable).sort(), ['OPENAI_API_KEY', 'STREAM_TOKEN_SECRET'])
  assert.doesNotMatch(formatProblems(problems), /short secret/)
})

test('[CF3] a secret file that is missing, a folder, too large, or beside its variable is a problem', () => {
  const variable = ['OPENAI_API_KEY_FILE']
  assert.deepEqual(variablesOf({ OPENAI_API_KEY_FILE: join(folder, 'none') }), variable)
  assert.deepEqual(variablesOf({ OPENAI_API_KEY_FILE: folder }), variable)
  assert.deepEqual(variablesOf({ OPENAI_API_KEY_FILE: fileWith('large', 'x'.repeat(70_000)) }), variable)
  const path = fileWith('good', 'sk-12345678')
  assert.deepEqual(variablesOf({ OPENAI_API_KEY_FILE: path, OPENAI_API_KEY: 'sk-12345678' }), variable)
})

test('[CF3] [P84] a secret file that is empty is a problem for each secret, never as if it were unset', () => {
  const secrets = Object.entries(VARIABLES).flatMap(([name, { secret }]) => (secret ? [name] : []))
  assert.ok(secrets.includes('DATA_KEYS') && secrets.includes('REDIS_URL'), secrets.join(' '))
  for (const [index, text] of ['', ' \n\t'].entries())
    for (const name of secrets) {
      const problems = problemsOf({ [`${name}_FILE`]: fileWith(`empty-${index}`, text) })
      const own = problems.filter(({ variable }) => variable === `${name}_FILE`)
      assert.deepEqual(own, [
        {
          variable: `${name}_FILE`,
          problem: 'names an empty file',
          fix: `write ${name} into it, or unset ${name}_FILE`,
        },
      ])
      assert.ok(!variablesOf({ [`${name}_FILE`]: fileWith('empty', text) }).includes(name), `${name} is named twice`)
    }
})

test('[CF4] without a token the plane stays on loopback', () => {
  const base = { PUBLIC_BASE_URL: 'https://voice.example.test' }
  assert.deepEqual(variablesOf({ HOST: '0.0.0.0' }), ['PUBLIC_BASE_URL', 'TWILIO_AUTH_TOKEN'])
  assert.deepEqual(variablesOf(base), ['TWILIO_AUTH_TOKEN'])
  assert.deepEqual(variablesOf({ NODE_ENV: 'production' }), ['PUBLIC_BASE_URL', 'TWILIO_AUTH_TOKEN'])
  assert.equal(configOf({ ...base, TWILIO_AUTH_TOKEN: TOKEN }).twilio.signatureCheck, 'on')
  assert.equal(configOf({ TWILIO_AUTH_TOKEN: TOKEN }).twilio.signatureCheck, 'on')
  assert.deepEqual(variablesOf({ TWILIO_AUTH_TOKEN_SECONDARY: TOKEN }), ['TWILIO_AUTH_TOKEN_SECONDARY'])
})

test('[SAFE-8][CF4] checks can be turned off only on loopback outside production', () => {
  const off = { TWILIO_SIGNATURE_CHECK: 'off', TWILIO_AUTH_TOKEN: TOKEN, PUBLIC_BASE_URL: 'http://localhost:8080' }
  for (const HOST of ['localhost', '::1', '[::1]', '127.0.0.2']) {
    assert.equal(configOf({ ...off, HOST }).twilio.signatureCheck, 'off')
  }
  assert.deepEqual(variablesOf({ ...off, HOST: '0.0.0.0' }), ['TWILIO_SIGNATURE_CHECK'])
  assert.deepEqual(variablesOf({ ...off, HOST: '127.evil.example' }), ['TWILIO_SIGNATURE_CHECK'])
  assert.deepEqual(variablesOf({ ...off, NODE_ENV: 'production' }), ['TWILIO_SIGNATURE_CHECK'])
})

test('the proxies that are trusted are addresses or networks', () => {
  const trusted = (text: string) => configOf({ TRUSTED_PROXIES: text }).http.trustedProxies
  assert.deepEqual(trusted('10.0.0.0/8, 192.0.2.7,2001:db8::/32'), ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32'])
  for (const text of [
    '::',
    '::1',
    '1::',
    '1:2:3:4:5:6:7:8',
    '1::8',
    '1:2:3:4:5:6::8',
    'fe80::1:2/64',
    '::ffff:1:2/128',
  ])
    assert.deepEqual([trusted(text), isIP(text.split('/')[0]!)], [[text], 6])
  for (const text of [':::', '1:2:3:4:5:6:7', '1::2::3', '1:2:3:4:5:6:7:8::', '::1:2:3:4:5:6:7:8', '12345::', '::g'])
    assert.deepEqual([variablesOf({ TRUSTED_PROXIES: text }), isIP(text)], [['TRUSTED_PROXIES'], 0], text)
  for (const text of ['*', 'proxy.example', '10.0.0.0/33', '10.0.0.0/', '2001:db8::/129', '10.0.0.1,', '10.0.0.0/8/8'])
    assert.deepEqual(variablesOf({ TRUSTED_PROXIES: text }), ['TRUSTED_PROXIES'], text)
})

test('[SAFE-8][S14] signature checks cannot be off behind a public address, even when the pod listens on loopback', () => {
  const off = { TWILIO_SIGNATURE_CHECK: 'off', TWILIO_AUTH_TOKEN: TOKEN }
  for (const base of [
    'https://voice.example.test',
    'https://192.0.2.7',
    'https://[2001:db8::1]',
    'https://127.example',
  ])
    for (const HOST of ['127.0.0.1', 'localhost', '::1'])
      assert.deepEqual(variablesOf({ ...off, HOST, PUBLIC_BASE_URL: base }), ['TWILIO_SIGNATURE_CHECK'], base)
  for (const base of ['http://127.0.0.1:9000', 'http://[::1]:9000', 'http://localhost'])
    assert.equal(configOf({ ...off, PUBLIC_BASE_URL: base }).twilio.signatureCheck, 'off')
})

test('the public address is scheme and host, https except on loopback', () => {
  const of = (PUBLIC_BASE_URL: string) => variablesOf({ PUBLIC_BASE_URL, TWILIO_AUTH_TOKEN: TOKEN })
  for (const text of ['voice.example.test', 'http://voice.example.test', 'ftp://x', 'https://u:p@x', 'https://x/#a']) {
    assert.deepEqual(of(text), ['PUBLIC_BASE_URL'], text)
  }
  assert.deepEqual(of('https://x/voice'), ['PUBLIC_BASE_URL'])
  assert.deepEqual(of('https://voice.example.test:8443/'), [])
  const { http } = configOf({ PUBLIC_BASE_URL: 'https://voice.example.test/', TWILIO_AUTH_TOKEN: TOKEN })
  assert.deepEqual([http.publicBaseUrl, http.streamBaseUrl], ['https://voice.example.test', 'wss://voice.example.test'])
})

test('a port learnt late moves the address only when none was configured', () => {
  const learnt = withPort(configOf({ PORT: '0', HOST: '::1' }), 4321).http
  assert.deepEqual([learnt.publicBaseUrl, learnt.streamBaseUrl], ['http://[::1]:4321', 'ws://[::1]:4321'])
  const set = configOf({ PORT: '0', PUBLIC_BASE_URL: 'https://voice.example.test', TWILIO_AUTH_TOKEN: TOKEN })
  assert.equal(withPort(set, 4321).http.publicBaseUrl, 'https://voice.example.test')
})

test('named pods on the network must share the stream token secret', () => {
  const env = {
    HOST: '0.0.0.0',
    PUBLIC_BASE_URL: 'https://v.example.test',
    TWILIO_AUTH_TOKEN: TOKEN,
    POD_NAME: 'pod-2',
  }
  assert.deepEqual(variablesOf(env), ['STREAM_TOKEN_SECRET'])
  assert.deepEqual(variablesOf({ ...env, STREAM_TOKEN_SECRET: 'x'.repeat(31) }).at(0), 'STREAM_TOKEN_SECRET')
  assert.equal(configOf({ ...env, STREAM_TOKEN_SECRET: 'x'.repeat(32) }).podName, 'pod-2')
})

test('the model is OpenAI, another endpoint, or Azure', () => {
  const { endpoint } = configOf({
    OPENAI_API_KEY: 'sk-12345678',
    OPENAI_REALTIME_MODEL: 'gpt-4o-realtime-preview-2025-06-03',
  }).model
  assert.deepEqual(endpoint, {
    kind: 'openai',
    url: 'wss://api.openai.com/v1/realtime?model=gpt-4o-realtime-preview-2025-06-03',
    headers: { authorization: 'Bearer sk-12345678' },
    model: 'gpt-4o-realtime-preview-2025-06-03',
  })
  const other = configOf({ OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime?model=own' }).model.endpoint
  assert.deepEqual(other, {
    kind: 'openai',
    url: 'ws://127.0.0.1:9/v1/realtime?model=own',
    headers: { authorization: 'Bearer offline' },
    model: 'own',
  })
  const azure = {
    AZURE_OPENAI_ENDPOINT: 'https://res.openai.azure.com/',
    AZURE_OPENAI_API_KEY: 'azure-key',
    AZURE_OPENAI_DEPLOYMENT: 'my-deployment',
  }
  assert.deepEqual(configOf({ ...azure, OPENAI_API_KEY: 'sk-12345678' }).model.endpoint, {
    kind: 'azure',
    url: 'wss://res.openai.azure.com/openai/v1/realtime?model=my-deployment',
    headers: { 'api-key': 'azure-key' },
    model: 'my-deployment',
  })
  assert.deepEqual(variablesOf({ OPENAI_REALTIME_URL: 'ws://model.example.test' }), ['OPENAI_REALTIME_URL'])
  assert.deepEqual(variablesOf({ OPENAI_REALTIME_URL: 'wss://model.example.test' }), ['OPENAI_API_KEY'])
  assert.deepEqual(variablesOf({ ...azure, OPENAI_REALTIME_URL: 'ws://127.0.0.1:9' }), ['OPENAI_REALTIME_URL'])
})

test('turn detection, coalescing and transcription become what the call reads', () => {
  const { model } = configOf({
    VAD: 'semantic',
    VAD_EAGERNESS: 'high',
    APPEND_COALESCE: '4',
    TRANSCRIPTION_MODEL: 'off',
  })
  assert.deepEqual(model.turnDetection, { kind: 'semantic', eagerness: 'high' })
  assert.deepEqual(model.appendCoalesce, { kind: 'always', frames: 4 })
  assert.equal(model.transcriptionModel, undefined)
  assert.deepEqual(configOf({ APPEND_COALESCE: 'off' }).model.appendCoalesce, { kind: 'off' })
  assert.deepEqual(configOf({ VAD_IDLE_TIMEOUT_MS: '6000' }).model.turnDetection, {
    kind: 'server',
    threshold: 0.5,
    prefixMs: 300,
    silenceMs: 500,
    idleTimeoutMs: 6_000,
  })
})

test('a chunk longer than the lead is a problem', () => {
  assert.deepEqual(variablesOf({ PLAYOUT_LEAD_MS: '100', PLAYOUT_CHUNK_MS: '120' }), ['PLAYOUT_CHUNK_MS'])
})

test('RETENTION_DAYS and DATA_KEYS are read, and what is wrong in them is named without a secret', () => {
  const key = Buffer.alloc(32, 5).toString('base64')
  const read = readConfig({ RETENTION_DAYS: '30, tenant-a=7', DATA_KEYS: `k1:${key}` })
  assert.ok(read.kind === 'ok', JSON.stringify(read))
  assert.deepEqual(read.config.work.retention, { days: 30, tenants: { 'tenant-a': 7 } })
  assert.equal(read.config.fleet.sealer?.open(read.config.fleet.sealer.seal('x', 'p'), 'p'), 'x')
  const unset = readConfig({})
  assert.ok(unset.kind === 'ok')
  assert.deepEqual([unset.config.work.retention.days, unset.config.fleet.sealer], [undefined, undefined])
  for (const days of ['0', 'x', '30,40', 'a=', 'tenant a=3', '99999']) {
    const refused = readConfig({ RETENTION_DAYS: days })
    assert.ok(refused.kind === 'invalid' && refused.problems[0]?.variable === 'RETENTION_DAYS', days)
  }
  const wrong = readConfig({ DATA_KEYS: `k1:${key.slice(4)}` })
  assert.ok(wrong.kind === 'invalid')
  assert.match(formatProblems(wrong.problems), /DATA_KEYS/)
  assert.ok(!formatProblems(wrong.problems).includes(key.slice(4, 12)))
})

test('[O13] [CC1] a malformed variable is told once, and not also as missing', () => {
  const env = { POD_NAME: 'Pod_1!', REDIS_URL: 'redis://127.0.0.1', DATABASE_URL: 'postgres://127.0.0.1/a' }
  const reading = readConfig({ ...env, STREAM_TOKEN_SECRET: 'short' })
  assert.equal(reading.kind, 'invalid')
  const problems = reading.kind === 'invalid' ? reading.problems : []
  assert.deepEqual(problems.map(({ variable }) => variable).sort(), ['POD_NAME', 'STREAM_TOKEN_SECRET'])
})

test('[O13] [CF5] a name that is almost a variable is kept for a warning, and no other', () => {
  const reading = readConfig({
    CALLS_MX: '5',
    TWILIO_AUTH_TOKN_FILE: '/run/secret',
    OPENAI_API_KEY_2: 'sk-of-a-pool',
    QUEUE_MAXX: '3',
    QUEUE_MAX: '3',
    ...{ PATH: '/bin', HOME: '/root', SHELL: '/bin/sh', PWD: '/', TERM: 'xterm', HOSTNAME: 'a', calls_mx: '1' },
  })
  assert.deepEqual(reading.kind === 'ok' && reading.config.misspelt, [
    { name: 'CALLS_MX', nearest: 'CALLS_MAX' },
    { name: 'TWILIO_AUTH_TOKN_FILE', nearest: 'TWILIO_AUTH_TOKEN_FILE' },
  ])
})
