// The chart refuses what the plane refuses at its start: each misfit of src/config-checks.ts is given to both. A new row is here by
// itself; a new function (JUDGED) without a counterpart is refused by the compiler and by the first test.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { readConfig } from '../../src/config.ts'
import { type Condition, JUDGED, MISFITS, type Misfit } from '../../src/config-checks.ts'
import { readLimitsFile } from '../../src/control/limits.ts'
import { VARIABLES, type VariableName } from '../../src/variables.ts'
import { renderChart } from '../../tools/k8s/chart.ts'
import { type ChartGround, openChartGround } from './chart-ground.ts'

let ground: ChartGround
before(async () => {
  ground = await openChartGround('misfits')
})
after(() => ground?.close())

type Env = Partial<Record<VariableName, string>>

const SECRET = 'a-secret-of-32-characters-and-more-0123'
const BASE: Env = {
  TWILIO_AUTH_TOKEN: SECRET,
  STREAM_TOKEN_SECRET: SECRET,
  REDIS_URL: 'redis://127.0.0.1:6379',
  DATABASE_URL: 'postgres://a@127.0.0.1/b',
  OPENAI_API_KEY: SECRET,
}
/** What the chart gives each pod beside the settings and the secrets. */
const OF_CHART: Env = {
  NODE_ENV: 'production',
  HOST: '0.0.0.0',
  POD_NAME: 'edge-a',
  PUBLIC_BASE_URL: 'https://voice.example.com',
}
const AZURE: Env = {
  AZURE_OPENAI_ENDPOINT: 'https://a.openai.azure.com',
  AZURE_OPENAI_API_KEY: SECRET,
  AZURE_OPENAI_DEPLOYMENT: 'realtime',
}
/** Texts that misfits are made of; a row about another variable needs one here. */
const TEXTS: Partial<Record<VariableName, readonly string[]>> = {
  ...Object.fromEntries(Object.entries({ ...BASE, ...AZURE }).map(([name, text]) => [name, [text]])),
  TWILIO_AUTH_TOKEN_SECONDARY: [SECRET],
  CALL_BUDGET: ['2.5'],
  TENANT_MONEY_PER_DAY: ['5'],
  QUEUE_OVERFLOW: ['transfer', 'call-back'],
  OPENAI_REALTIME_URL: ['wss://models.example.com/v1/realtime', 'wss://api.openai.com/v1/realtime'],
  ANALYSIS: ['model'],
  CRM_WEBHOOK_URL: ['https://crm.example.com/hook', 'http://crm.example.com/hook'],
  CRM_ALLOW_PRIVATE: ['off', 'on'],
}
/** Where the chart says it by a check of its own, or can never leave it out. */
const OTHERWISE: Partial<Record<VariableName, RegExp | 'always set'>> = {
  PUBLIC_BASE_URL: /^Error: .*publicBaseUrl: set the https:\/\/ address/,
  POD_NAME: 'always set',
  TWILIO_AUTH_TOKEN: /secrets: TWILIO_AUTH_TOKEN is neither in secrets.keys nor in secrets.from/,
  STREAM_TOKEN_SECRET: /secrets: STREAM_TOKEN_SECRET is neither in secrets.keys nor in secrets.from/,
  DATABASE_URL: /secrets: DATABASE_URL is neither in secrets.keys nor in secrets.from/,
}
/** What the texts alone do not decide: the settings that the chart refuses, or why it cannot know. */
const COUNTERPARTS: Record<keyof typeof JUDGED, { sets: string[]; wanted: RegExp } | 'the pod alone knows its files'> =
  {
    'a public address with a path': { sets: ['publicBaseUrl=https://a.example.com/x'], wanted: /scheme and host only/ },
    'no public address': { sets: ['publicBaseUrl='], wanted: /publicBaseUrl: set the https:\/\/ address/ },
    'signatures unchecked': {
      sets: ['settings.TWILIO_SIGNATURE_CHECK=off'],
      wanted: /signatures are always checked in a cluster/,
    },
    'no token of the carrier': {
      sets: ['secrets.keys={STREAM_TOKEN_SECRET,REDIS_URL,DATABASE_URL,OPENAI_API_KEY}'],
      wanted: /TWILIO_AUTH_TOKEN is neither/,
    },
    'a named pod without the secret of streams': {
      sets: ['secrets.keys={TWILIO_AUTH_TOKEN,REDIS_URL,DATABASE_URL,OPENAI_API_KEY}'],
      wanted: /STREAM_TOKEN_SECRET is neither/,
    },
    'no file of the agent': 'the pod alone knows its files',
    'no file of limits': {
      sets: ['settings.LIMITS_FILE=/x'],
      wanted: /LIMITS_FILE is set by the chart: change limits/,
    },
  }

const isSecret = (name: string): boolean => VARIABLES[name as VariableName].secret

function textFor(condition: Condition): string {
  const texts = TEXTS[condition.variable] ?? []
  const fits = (text: string): boolean =>
    !('pattern' in condition) || condition.pattern.test(text) === (condition.is === 'like')
  const text = condition.is === 'no-multiple' ? '410' : condition.is === 'above' ? '400' : texts.find(fits)
  assert.ok(text !== undefined, `TEXTS needs a text of ${condition.variable} for a new misfit`)
  return text
}

/** The environment beside what the chart sets, in which the row holds. */
function envOf({ when }: Misfit): Env {
  const isAbout = (name: string) => when.some(({ variable }) => variable === name)
  const needsProvider = when.some(({ variable, is }) => variable === 'OPENAI_API_KEY' && is === 'absent')
  const env: Env = { ...BASE, ...(needsProvider && !isAbout('OPENAI_REALTIME_URL') ? AZURE : {}) }
  for (const condition of when) {
    if (condition.is === 'absent') delete env[condition.variable]
    else env[condition.variable] = textFor(condition)
  }
  return env
}

/** Renders the chart with what of `env` it does not set itself. */
async function render(env: Env, sets: readonly string[] = []) {
  const names = Object.keys(env)
  const settings = Object.fromEntries(Object.entries(env).filter(([name]) => !isSecret(name)))
  const file = join(ground.folder, 'values.json')
  writeFileSync(file, JSON.stringify({ settings, secrets: { keys: names.filter(isSecret) } }))
  return await renderChart(ground.tools, { files: [file], sets })
}

const roleOf = ({ asked }: Misfit) => (asked === 'workers' ? 'worker' : 'edge')

describe('[P64] chart and plane refuse the same', () => {
  test('[P64] without a misfit both accept', async () => {
    for (const env of [
      BASE,
      { ...BASE, PLAYOUT_LEAD_MS: '400', PLAYOUT_CHUNK_MS: '400', CALL_BUDGET: '2', PRICES: '{"currency":"USD"}' },
    ]) {
      assert.equal((await render(env)).kind, 'rendered')
      for (const role of ['edge', 'worker'] as const) assert.equal(readConfig({ ...OF_CHART, ...env }, role).kind, 'ok')
    }
    assert.deepEqual(Object.keys(COUNTERPARTS).sort(), Object.keys(JUDGED).sort())
  })

  for (const misfit of MISFITS) {
    const { variable, problem, fix, when } = misfit
    const told = when.map((one) => `${one.variable} ${one.is}`).join(', ')
    test(`[P64] ${variable} ${problem} (${told})`, async () => {
      const absent = when.find((one) => one.is === 'absent' && OTHERWISE[one.variable] !== undefined)?.variable
      const env = envOf(misfit)
      const ofChart = { ...OF_CHART }
      if (absent !== undefined) delete ofChart[absent]
      const read = readConfig({ ...ofChart, ...env }, roleOf(misfit))
      const problems = read.kind === 'ok' ? [] : read.problems
      assert.ok(
        problems.some((one) => one.variable === variable && one.problem === problem && one.fix === fix),
        JSON.stringify(problems),
      )
      const otherwise = absent === undefined ? undefined : OTHERWISE[absent]
      if (otherwise === 'always set') return
      const rendered = await render(env, absent === 'PUBLIC_BASE_URL' ? ['publicBaseUrl='] : [])
      assert.ok(rendered.kind === 'refused', 'helm renders it')
      if (otherwise !== undefined) return assert.match(rendered.reason, otherwise)
      const place = isSecret(variable) ? 'secrets.keys or secrets.from: ' : 'settings.'
      assert.ok(rendered.reason.includes(`${place}${variable} ${problem}; ${fix}`), rendered.reason)
    })
  }

  for (const [title, counterpart] of Object.entries(COUNTERPARTS)) {
    if (typeof counterpart === 'string') continue
    test(`[P64] ${title}`, async () => {
      const rendered = await renderChart(ground.tools, { sets: counterpart.sets })
      assert.ok(rendered.kind === 'refused')
      assert.match(rendered.reason, counterpart.wanted)
    })
  }

  test('[P64] a row asks only what both sides can know: no text of a secret, no default of what is given or absent', () => {
    for (const { when } of MISFITS)
      for (const condition of when) {
        const { secret, fallback } = VARIABLES[condition.variable]
        if (condition.is === 'given' || condition.is === 'absent') assert.equal(fallback, undefined, condition.variable)
        else assert.equal(secret, false, condition.variable)
      }
  })

  const prices: [string, RegExp][] = [
    ['{"currency":"USD","inputTokens":4}', /take out "inputTokens": the keys are currency, inputText, inputAudio/],
    ['{"currency":"usd"}', /write currency as three capital letters/],
    ['{"inputText":4}', /write currency as three capital letters/],
    ['{"currency":"USD","inputText":"4"}', /write inputText as a number from 0 to 1000000/],
    ['{"currency":"USD","inputText":-4}', /write inputText as a number from 0 to 1000000/],
    ['{"currency":"USD",}', /its keys are currency, inputText/],
  ]
  for (const [PRICES, wanted] of prices) {
    test(`[P64] PRICES=${PRICES}`, async () => {
      const rendered = await render({ ...BASE, PRICES })
      assert.ok(rendered.kind === 'refused')
      assert.match(rendered.reason, wanted)
      assert.match(rendered.reason, /settings.PRICES/)
      const read = readConfig({ PRICES })
      assert.ok(read.kind === 'invalid')
      assert.deepEqual(
        read.problems.map(({ variable }) => variable),
        ['PRICES'],
      )
      assert.match(read.problems[0]!.fix, wanted)
    })
  }

  test('[P64] a budget of a tenant in the limits needs PRICES too', async () => {
    for (const limits of [
      'limits.tenants[0].tenant=a,limits.tenants[0].moneyPerDay=5',
      'limits.otherTenants.moneyPerDay=5',
    ]) {
      const rendered = await renderChart(ground.tools, {
        sets: [`limits.pools[0].pool=own,limits.pools[0].callsMax=9,${limits}`],
      })
      assert.ok(rendered.kind === 'refused')
      assert.match(rendered.reason, /limits: moneyPerDay needs settings.PRICES/)
    }
  })

  const pools = [{ pool: 'own', callsMax: 10 }]
  const limits: [object, RegExp][] = [
    [{ pools: [...pools, ...pools] }, /limits.pools: own stands there twice/],
    [{ pools, tenants: [{ tenant: 'a' }, { tenant: 'a' }] }, /limits.tenants: a stands there twice/],
    [
      { pools, tenants: ['a', 'b'].map((tenant) => ({ tenant, numbers: ['+15005550006'] })) },
      /\+15005550006 is a number of a and of b; leave it with one tenant/,
    ],
    [{ pools, tenants: [{ tenant: 'a', guaranteed: 3, burst: 2 }] }, /a has guaranteed 3, more than the burst 2/],
    [{ pools, otherTenants: { guaranteed: 11 } }, /otherTenants has guaranteed 11, more than the burst 10/],
    [
      { pools, tenants: [{ tenant: 'a', guaranteed: 9 }], reserve: { inbound: 2 } },
      /guarantee 9 calls together; the pools bear 10, of which 2/,
    ],
    [{ pools, reserve: { inbound: 3, outbound: 2 } }, /reserve.outbound is 2, .* make it 3 or more/],
    [{ pools, reserve: { inbound: 10 } }, /reserve.inbound is 10: the pools together bear 10/],
    [
      {
        pools: [
          { ...pools[0], endpoint: { kind: 'openai', url: 'ws://a.example.com', keyVariable: 'OPENAI_API_KEY' } },
        ],
      },
      /'ws:\/\/a.example.com' does not match pattern/,
    ],
  ]
  async function judge(asked: object): Promise<{ plane: boolean; reason: string | undefined }> {
    const file = join(ground.folder, 'limits.json')
    writeFileSync(file, JSON.stringify(asked))
    const plane = readLimitsFile(file).kind === 'ok'
    writeFileSync(file, JSON.stringify({ limits: asked }))
    const rendered = await renderChart(ground.tools, { files: [file] })
    return { plane, reason: rendered.kind === 'refused' ? rendered.reason : undefined }
  }
  for (const [asked, wanted] of limits) {
    test(`[P64] limits: ${wanted.source}`, async () => {
      const { plane, reason } = await judge(asked)
      assert.equal(plane, false)
      assert.match(reason ?? 'helm renders it', wanted)
    })
  }

  test('[P64] chart and plane judge limits alike, whatever they are', async (t) => {
    const some = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined })
    const quota = { guaranteed: some, burst: some }
    const name = fc.constantFrom('a', 'b', 'c')
    const number = fc.constantFrom('+15005550006', '+15005550007', '+15005550008')
    const limit = fc.record({
      pools: fc.array(fc.record({ pool: name, callsMax: fc.integer({ min: 1, max: 12 }) }), {
        minLength: 1,
        maxLength: 2,
      }),
      tenants: fc.array(fc.record({ tenant: name, numbers: fc.array(number, { maxLength: 1 }), ...quota }), {
        maxLength: 2,
      }),
      otherTenants: fc.record(quota),
      reserve: fc.record({ inbound: some, outbound: some }),
    })
    const judged = []
    for (const asked of fc.sample(limit, { numRuns: 24, seed: 64 })) {
      const { plane, reason } = await judge(asked)
      assert.equal(reason === undefined, plane, `${JSON.stringify(asked)}: ${reason}`)
      judged.push(plane)
    }
    t.diagnostic(`${judged.filter(Boolean).length} of ${judged.length} accepted`)
    assert.ok(judged.includes(true) && judged.includes(false))
  })
})
