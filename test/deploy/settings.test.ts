// What the chart says of the plane's settings is what the plane says: names, forms, bounds, which are secret; and secrets of other names
// come through to the pod.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { readConfig } from '../../src/config.ts'
import { readLimitsFile } from '../../src/control/limits.ts'
import { placesOf } from '../../src/pod/model-places.ts'
import { VARIABLES, type Variable } from '../../src/variables.ts'
import { NAMESPACE, renderChart } from '../../tools/k8s/chart.ts'
import { resolveContainer } from '../../tools/k8s/kubelet.ts'
import { makeSchema, makeSettings, OWN, SCHEMA_FILE, staleFiles, textSchema } from '../../tools/k8s/settings.ts'
import { ownWorkloads, placeOf, roleOf, secretsFor } from '../../tools/k8s/starts.ts'
import { VARIANTS } from '../../tools/k8s/variants.ts'
import { ROOT } from '../../tools/tree.ts'
import { type ChartGround, openChartGround } from './chart-ground.ts'

let ground: ChartGround
before(async () => {
  ground = await openChartGround('settings')
})
after(() => ground?.close())

const all = Object.entries(VARIABLES) as [string, Variable<unknown>][]
const plain = all.filter(([name, { secret }]) => !secret && OWN[name] === undefined)

/** Texts that people write, right and wrong. */
const TEXTS = [
  ...[
    '',
    ' ',
    'abc',
    '-1',
    '0',
    '1',
    '2',
    '5',
    '20',
    '50',
    '410',
    '500',
    '1000',
    '3300000',
    '99999999',
    '1e3',
    '0.5',
    '.5',
    '1.5',
    '5.',
    '0x10',
  ],
  ...[
    'on',
    'off',
    'ON',
    'true',
    'yes',
    'server',
    'semantic',
    'pcmu',
    'info',
    'INFO',
    'auto',
    'model',
    'rules',
    'en',
    'pt-BR',
    'de_DE',
  ],
  ...[
    'https://a.example.com',
    'https://a.example.com:8443/x?y=1',
    'http://a.example.com',
    'http://127.0.0.1:9100',
    'ws://localhost/v1',
    'ws://a.example.com',
  ],
  ...[
    'wss://a.example.com/v1/realtime?model=x',
    'https://',
    'https://u:p@a.example.com',
    'https://a.example.com/#x',
    'ftp://a',
    'a.example.com',
    'ws://[::1]:9',
  ],
  ...[
    '+15005550006',
    '15005550006',
    `AC${'1'.repeat(32)}`,
    'AC12',
    'gpt-realtime-2.1',
    '/agents/mine.ts',
    'clinic',
    'Clinic',
    '{"currency":"USD"}',
    '{}',
  ],
  ...['10.0.0.0/8', '10.0.0.0/33', '2001:db8::/32, 192.0.2.7', '::1', ':::', '1.2.3.256'],
  ...['30', '30,tenant-a=7', 'tenant-a=7', '30,', '30;7', 'tenant-a='],
]

describe('the chart’s schema is made from the plane’s variables', () => {
  test('[O8] the files are those that `npm run chart-schema` makes now', () => {
    assert.deepEqual(staleFiles(), [])
  })

  test('[O8] a variable that is new, gone, secret or of another form makes them stale', () => {
    const schema = JSON.parse(readFileSync(SCHEMA_FILE, 'utf8'))
    const names = Object.keys(schema.properties.settings.properties)
    assert.deepEqual(names.toSorted(), Object.keys(VARIABLES).toSorted())
    assert.equal(schema.properties.settings.additionalProperties, false)
    for (const change of [
      (text: string) => text.replace('"QUEUE_MAX": {', '"QUEU_MAX": {'),
      (text: string) => text.replace(/("LOG_LEVEL"[^\]]*)"trace",/, '$1'),
      (text: string) => text.replace('"ADMIN_TOKEN",', ''),
    ]) {
      const changed = change(readFileSync(SCHEMA_FILE, 'utf8'))
      assert.notEqual(changed, readFileSync(SCHEMA_FILE, 'utf8'))
      assert.notEqual(changed, makeSchema(changed))
    }
  })

  test('[DEPLOY-7][O8] the chart accepts a text exactly when the plane does', () => {
    const ranges = JSON.parse(makeSettings()).ranges as Record<string, { min: number; max: number }>
    let accepted = 0
    for (const [name, { form, parse }] of plain) {
      const {
        pattern,
        enum: choices,
        maxLength,
      } = textSchema(form) as { pattern?: string; enum?: string[]; maxLength?: number }
      for (const text of TEXTS) {
        const range = ranges[name]
        const byChart =
          (pattern === undefined || new RegExp(pattern).test(text)) &&
          (choices === undefined || choices.includes(text)) &&
          (maxLength === undefined || text.length <= maxLength) &&
          (range === undefined || (Number(text) >= range.min && Number(text) <= range.max))
        const byPlane = parse(text).kind === 'ok'
        // Days have a bound inside the text, which only the plane looks at.
        if (name === 'RETENTION_DAYS' && byChart) continue
        assert.equal(byChart, byPlane, `${name}=${JSON.stringify(text)}`)
        if (byPlane) accepted += 1
      }
    }
    assert.ok(accepted > 2 * plain.length, `only ${accepted} texts were accepted`)
  })
})

describe('helm refuses a setting that the plane would not take', () => {
  const refusals: [string, RegExp][] = [
    ['settings.QUEU_MAX=50', /additional properties 'QUEU_MAX' not allowed/],
    ['settings.WORK_POLL_MS=abc', /'abc' does not match pattern/],
    ['settings.WORK_POLL_MS=5', /settings.WORK_POLL_MS cannot be 5: write a whole number from 20 to 60000/],
    ['settings.VAD_THRESHOLD=1.5', /settings.VAD_THRESHOLD cannot be 1.5: write a number from 0 to 1/],
    ['settings.LOG_LEVEL=loud', /'\/settings\/LOG_LEVEL': value must be one of 'trace', 'debug'/],
    ['settings.OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318', /does not match pattern/],
    ['settings.CALLS_MAX=50', /settings.CALLS_MAX is set by the chart: change edge.callsMax/],
    ['settings.TWILIO_SIGNATURE_CHECK=off', /signatures are always checked in a cluster/],
    ['limits.queueMax=5', /at '\/limits': missing property 'pools'/],
    ['limits.pool=own', /additional properties 'pool' not allowed/],
  ]
  for (const [set, wanted] of refusals) {
    test(`[DEPLOY-7][O8] ${set}`, async () => {
      const option = set.startsWith('settings') ? { strings: [set] } : { sets: [set] }
      const rendered = await renderChart(ground.tools, option)
      assert.equal(rendered.kind, 'refused')
      if (rendered.kind === 'refused') assert.match(rendered.reason, wanted)
    })
  }

  test('[O8] every setting at its default and at a second value passes through helm to the plane', async () => {
    const texts = Object.fromEntries(
      plain.flatMap(([name, { parse, shown, fallback, form }]) => {
        const known = form.kind === 'choice' ? form.choices : TEXTS
        const other = known.find((text) => parse(text).kind === 'ok' && text !== shown)
        return [[name, fallback === undefined ? (other ?? '') : shown]]
      }),
    )
    // Files that the tree does not have, and a model at two places, are problems of another kind.
    for (const name of [
      'AGENT_MODULE',
      'HISTORY_FILE',
      'CRM_WEBHOOK_URL',
      'AZURE_OPENAI_ENDPOINT',
      'AZURE_OPENAI_DEPLOYMENT',
      'PRICES',
      'CALL_BUDGET',
      'TENANT_MONEY_PER_DAY',
    ])
      delete texts[name]
    const file = join(ground.folder, 'all.json')
    writeFileSync(file, JSON.stringify({ settings: texts }))
    const rendered = await renderChart(ground.tools, { files: [file] })
    if (rendered.kind === 'refused') throw new Error(rendered.reason)
    const edge = ownWorkloads(rendered.manifests).find((one) => roleOf(one) === 'edge')!
    const env = Object.fromEntries(edge.pod.containers[0]!.env!.map(({ name, value }) => [name, value]))
    for (const [name, text] of Object.entries(texts)) assert.equal(env[name], text)
    assert.ok(Object.keys(texts).length > 40)
    const read = readConfig({ ...texts, OPENAI_API_KEY: 'a-key-that-opens-nothing' })
    assert.deepEqual(read.kind === 'ok' ? [] : read.problems, [])
  })

  test('[O8] the limits of the documentation pass, and each of its names is one that the plane knows', async () => {
    const page = readFileSync(join(ROOT, 'docs/limits.md'), 'utf8')
    const limits = JSON.parse(/```json\n([\s\S]*?)```/.exec(page)![1]!)
    const file = join(ground.folder, 'limits.json')
    const extra = { OPENAI_API_KEY_EU: {}, AZURE_KEY_WEST: {} }
    writeFileSync(file, JSON.stringify({ limits, secrets: { extra } }))
    const rendered = await renderChart(ground.tools, { files: [file] })
    if (rendered.kind === 'refused') throw new Error(rendered.reason)
    const map = rendered.manifests.find(({ metadata }) => metadata.name === 'vp-voiceplane-limits')!
    const path = join(ground.folder, 'rendered-limits.json')
    writeFileSync(path, (map.data as Record<string, string>)['limits.json']!)
    assert.equal(readLimitsFile(path).kind, 'ok')
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), limits)
  })
})

test('[P65] a worker has the limits of the pods, by which it judges call-backs', async () => {
  const everything = VARIANTS.find(({ title }) => title === 'everything')!
  const rendered = await renderChart(ground.tools, everything.options)
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  const worker = ownWorkloads(rendered.manifests).find((one) => roleOf(one) === 'worker')!
  const place = { namespace: NAMESPACE, folder: ground.folder, manifests: rendered.manifests }
  const secrets = secretsFor({ redis: 'redis://127.0.0.1:6379', database: 'postgres://a@127.0.0.1/b' })
  const { asRendered } = resolveContainer(
    worker.pod,
    worker.pod.containers[0]!,
    placeOf(worker, { index: 1, at: 0 }, { ...place, secrets }),
  )
  assert.equal(readLimitsFile(asRendered.LIMITS_FILE!).kind, 'ok')
})

describe('secrets of any name', () => {
  const refusals: [string, RegExp][] = [
    [
      'agentSettings.CRM_API_KEY=abc',
      /agentSettings.CRM_API_KEY looks like a secret: put it into a Secret and write secrets.extra.CRM_API_KEY/,
    ],
    ['agentSettings.BOOKING_PASSWORD=abc', /looks like a secret/],
    ['agentSettings.GREETING=sk-proj-0123456789abcdef0123', /looks like a secret/],
    ['agentSettings.BOOKING_URL=postgres://a:b@db/x', /looks like a secret/],
    ['settings.PRICES=postgres://a:b@db/x', /PRICES/],
    ['settings.OPENAI_API_KEY=abc', /settings.OPENAI_API_KEY is a secret: name it in secrets.keys or secrets.from/],
    ['settings.OPENAI_REALTIME_MODEL=sk-proj-0123456789abcdef0123', /looks like a secret/],
    ['agentSettings.QUEUE_MAX=5', /is a variable of the plane/],
    ['agentSettings.REDIS_URL_FILE=5', /is a variable of the plane/],
    ['secrets.extra.REDIS_URL.key=x', /write it in secrets.keys or secrets.from/],
    ['secrets.extra.QUEUE_MAX.key=x', /is no secret: write it in settings/],
    ['secrets.extra.openai.key=x', /invalid propertyName 'openai'/],
    ['secrets.keys[5]=OPENAI_API_KEY_EU', /value must be one of/],
  ]
  for (const [set, wanted] of refusals) {
    test(`[O7] ${set}`, async () => {
      const rendered = await renderChart(ground.tools, { strings: [set] })
      assert.equal(rendered.kind, 'refused')
      if (rendered.kind === 'refused') assert.match(rendered.reason, wanted)
    })
  }

  test('[O7] a pool whose key is nowhere is refused with the value to write', async () => {
    const pool = 'limits.pools[0].pool=eu,limits.pools[0].callsMax=100,limits.pools[0].endpoint.kind=openai'
    const rendered = await renderChart(ground.tools, {
      sets: [`${pool},limits.pools[0].endpoint.keyVariable=OPENAI_API_KEY_EU`],
    })
    assert.ok(rendered.kind === 'refused')
    assert.match(rendered.reason, /the key of the pool eu is nowhere: write secrets.extra.OPENAI_API_KEY_EU/)
  })

  test('[O7] a pool’s key of another Secret reaches the pool, and an agent’s password its environment', async () => {
    const everything = VARIANTS.find(({ title }) => title === 'everything')!
    const rendered = await renderChart(ground.tools, everything.options)
    if (rendered.kind === 'refused') throw new Error(rendered.reason)
    const { manifests } = rendered
    const edge = ownWorkloads(manifests).find((one) => roleOf(one) === 'edge')!
    const secrets = secretsFor({ redis: 'redis://127.0.0.1:6379', database: 'postgres://a@127.0.0.1/b' })
    const place = placeOf(
      edge,
      { index: 0, at: 0 },
      { namespace: NAMESPACE, folder: ground.folder, manifests, secrets },
    )
    const { asRendered } = resolveContainer(edge.pod, edge.pod.containers[0]!, place)
    const read = readConfig({ ...asRendered, POD_NAME: 'edge-a-127-0-0-1' })
    assert.ok(read.kind === 'ok')
    const limits = readLimitsFile(asRendered.LIMITS_FILE!)
    assert.ok(limits.kind === 'ok')
    const places = placesOf(read.config, limits.limits, asRendered)
    assert.deepEqual(places.get('eu')!.headers, { authorization: 'Bearer a-key-of-another-region' })
    assert.deepEqual(Object.keys(places.get('own')!.headers), ['api-key'])
    assert.equal(asRendered.BOOKING_PASSWORD, 'a-password-of-an-agent')
    assert.equal(asRendered.BOOKING_URL, 'https://booking.example.com')
    assert.doesNotMatch(rendered.text, /a-key-of-another-region|a-password-of-an-agent/)
  })
})
