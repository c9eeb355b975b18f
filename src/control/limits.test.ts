// The limits file: what is read, what is reported, and that any text at all is answered with a value.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import {
  defaultLimits,
  FILE_MAX_BYTES,
  type LimitProblem,
  loweredLimits,
  POOLS_MAX,
  parseLimits,
  readLimitsFile,
} from './limits.ts'

const GOOD = {
  pools: [
    { pool: 'org-a', callsMax: 800, weight: 2, connectsPerSecond: 20 },
    { pool: 'azure-west', callsMax: 200 },
  ],
  tenants: [
    { tenant: 'acme', numbers: ['+4930123456', '+4930123457'], guaranteed: 50, burst: 200, weight: 2 },
    { tenant: 'beta', numbers: ['+14155550100'] },
  ],
  otherTenants: { burst: 100 },
  reserve: { inbound: 10, outbound: 100 },
  queueMax: 300,
  waitMaxMs: 60_000,
}

function problemsOf(value: unknown): LimitProblem[] {
  const result = parseLimits(typeof value === 'string' ? value : JSON.stringify(value))
  return result.kind === 'invalid' ? result.problems : []
}
const pathsOf = (value: unknown): string[] => problemsOf(value).map(({ path }) => path)

suite('limits', () => {
  test('[LI1] [LI4] a whole file is read, what is left out has its default', () => {
    const result = parseLimits(JSON.stringify(GOOD))
    assert.ok(result.kind === 'ok', JSON.stringify(result))
    const { cell, waitMaxMs, tenantOf } = result.limits
    assert.deepEqual(cell, {
      pools: [
        { pool: 'org-a', callsMax: 800, weight: 2, connectsPerSecond: 20 },
        { pool: 'azure-west', callsMax: 200, weight: 1, connectsPerSecond: 7 },
      ],
      tenants: [
        { tenant: 'acme', guaranteed: 50, burst: 200, weight: 2 },
        { tenant: 'beta', guaranteed: 0, burst: 1_000, weight: 1 },
      ],
      otherTenants: { guaranteed: 0, burst: 100, weight: 1 },
      reserve: { inbound: 10, outbound: 100 },
      queueMax: 300,
    })
    assert.equal(waitMaxMs, 60_000)
    assert.equal(tenantOf('+4930123457'), 'acme')
    assert.equal(tenantOf('+14155550100'), 'beta')
    assert.equal(tenantOf('+4930999999'), 'default')
    assert.equal(tenantOf(''), 'default')
  })

  test('[LI2] without a file one pool has the ceiling that is given', () => {
    const { cell, waitMaxMs, tenantOf } = defaultLimits(40)
    assert.deepEqual(cell.pools, [{ pool: 'default', callsMax: 40, weight: 1, connectsPerSecond: 2 }])
    assert.deepEqual(cell.otherTenants, { guaranteed: 0, burst: 40, weight: 1 })
    assert.equal(tenantOf('+4930123456'), 'default')
    assert.equal(waitMaxMs, undefined)
    const least = parseLimits('{"pools":[{"pool":"default","callsMax":40}]}')
    assert.ok(least.kind === 'ok')
    assert.deepEqual(least.limits.cell, cell)
  })

  test('[LI1] all problems are reported at once, each with its path and a fix', () => {
    const problems = problemsOf({
      pools: [{ pool: 'A pool', callsMax: 0, wieght: 2 }, 'b', { pool: 'c' }],
      tenants: [{ tenant: 'acme', numbers: ['030 123', 7], guaranteed: 9, burst: 3, weight: -1 }],
      otherTenants: [],
      reserve: { inbound: 5, outbound: 2 },
      queueMax: 1.5,
      waitMaxMs: '60s',
      extra: true,
    })
    const paths = problems.map(({ path }) => path)
    assert.deepEqual(paths.toSorted(), [
      'extra',
      'otherTenants',
      'pools[0].callsMax',
      'pools[0].pool',
      'pools[0].wieght',
      'pools[1]',
      'pools[2].callsMax',
      'queueMax',
      'reserve.outbound',
      'tenants[0].guaranteed',
      'tenants[0].numbers[0]',
      'tenants[0].numbers[1]',
      'tenants[0].weight',
      'waitMaxMs',
    ])
    for (const { problem, fix } of problems) assert.ok(problem.length > 3 && fix.length > 3)
  })

  test('[LI1] names that stand twice, no pool at all, and too many entries are problems', () => {
    const twice = { pools: [GOOD.pools[0], GOOD.pools[0]], tenants: [{ tenant: 't' }, { tenant: 't' }] }
    assert.deepEqual(pathsOf(twice), ['pools[1].pool', 'tenants[1].tenant'])
    assert.deepEqual(pathsOf({}), ['pools'])
    assert.deepEqual(pathsOf({ pools: {} }), ['pools', 'pools'])
    const many = { pools: Array.from({ length: POOLS_MAX + 1 }, (_, n) => ({ pool: `p${n}`, callsMax: 1 })) }
    assert.deepEqual(pathsOf(many), ['pools'])
    assert.deepEqual(pathsOf('[]'), [''])
    assert.deepEqual(pathsOf('{"pools": ['), [''])
  })

  test('[LI3] guarantees and reserve fit together into the pools', () => {
    const plan = (guaranteed: number, inbound: number) => ({
      pools: [{ pool: 'p', callsMax: 100 }],
      tenants: [
        { tenant: 'a', guaranteed },
        { tenant: 'b', guaranteed: 40 },
      ],
      reserve: { inbound },
    })
    assert.deepEqual(pathsOf(plan(50, 10)), [])
    assert.deepEqual(pathsOf(plan(51, 10)), ['tenants'])
    assert.deepEqual(pathsOf(plan(50, 11)), ['tenants'])
    assert.deepEqual(pathsOf(plan(0, 100)), ['reserve.inbound', 'tenants'])
  })

  test('[LI4] a number belongs to one tenant', () => {
    const tenants = [
      { tenant: 'a', numbers: ['+4930123456'] },
      { tenant: 'b', numbers: ['+4930123456'] },
    ]
    const [problem] = problemsOf({ pools: GOOD.pools, tenants })
    assert.equal(problem?.path, 'tenants[1].numbers[0]')
    assert.match(problem.problem, /tenant a/)
  })

  test('[LI5] [LR1] files that are missing, too large or no files are problems, and long values are shown short', () => {
    const folder = mkdtempSync(join(tmpdir(), 'limits-'))
    try {
      const path = join(folder, 'limits.json')
      assert.equal(readLimitsFile(path).kind, 'invalid')
      assert.equal(readLimitsFile(folder).kind, 'invalid')
      writeFileSync(path, JSON.stringify(GOOD))
      assert.equal(readLimitsFile(path).kind, 'ok')
      writeFileSync(path, Buffer.alloc(FILE_MAX_BYTES + 1, 32))
      assert.equal(readLimitsFile(path).kind, 'invalid')
    } finally {
      rmSync(folder, { recursive: true })
    }
    const [long] = problemsOf({ pools: GOOD.pools, queueMax: 'x'.repeat(10_000) })
    assert.ok(long!.problem.length < 100)
  })

  test('[LR2] names are fit for keys of the store', () => {
    for (const pool of ['', 'a b', 'Ä', '{x}', 'a:b', '-a', 'x'.repeat(64), 7, null]) {
      assert.deepEqual(pathsOf({ pools: [{ pool, callsMax: 1 }] }), ['pools[0].pool'], String(pool))
    }
    for (const pool of ['a', '0', 'org-1.west_2', 'x'.repeat(63)]) {
      assert.deepEqual(pathsOf({ pools: [{ pool, callsMax: 1 }] }), [], pool)
    }
  })

  test('[LI1] any JSON, and any part of the file replaced by it, is answered with a value', () => {
    const part = fc.constantFrom('pools', 'tenants', 'otherTenants', 'reserve', 'queueMax', 'waitMaxMs')
    const property = fc.property(fc.jsonValue(), part, (value, name) => {
      const results = [
        value,
        { ...GOOD, [name]: value },
        { ...GOOD, [name]: [value] },
        { ...GOOD, [name]: { [name]: value } },
      ]
      for (const one of results) {
        const result = parseLimits(JSON.stringify(one))
        if (result.kind === 'ok') assert.ok(result.limits.cell.pools.length > 0)
        else assert.ok(result.problems.length > 0)
      }
    })
    fc.assert(property, { numRuns: 300 })
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(parseLimits(text).kind, 'invalid')
      }),
      { numRuns: 100 },
    )
  })

  test('learnt ceilings lower the pools and never raise them', () => {
    const { cell } = defaultLimits(40)
    assert.deepEqual(loweredLimits(cell, () => 12).pools, [{ ...cell.pools[0]!, ceiling: 12 }])
    assert.deepEqual(
      loweredLimits(cell, () => Number.POSITIVE_INFINITY),
      cell,
    )
    assert.deepEqual({ ...loweredLimits(cell, () => 12), pools: [] }, { ...cell, pools: [] })
  })

  test('[LI6] a pool may name where it is; without a name it is where the plane is', () => {
    const openai = { kind: 'openai', url: 'wss://gateway.example.com/v1/realtime', model: 'm-1', keyVariable: 'KEY_A' }
    const azure = { kind: 'azure', endpoint: 'https://x.openai.azure.com', deployment: 'd', keyVariable: 'KEY_B' }
    const endpoints = [undefined, openai, { kind: 'openai', keyVariable: 'KEY_A' }, azure]
    const pools = endpoints.map((endpoint, i) => ({ pool: `p${i}`, callsMax: 10, endpoint }))
    const result = parseLimits(JSON.stringify({ pools }))
    assert.ok(result.kind === 'ok', JSON.stringify(result))
    assert.deepEqual(
      [...result.limits.endpoints],
      [
        ['p1', openai],
        ['p2', { ...openai, url: undefined, model: undefined }],
        ['p3', azure],
      ],
    )
    assert.ok(
      result.limits.cell.pools.every((pool) => !('endpoint' in pool)),
      'the store is told of an endpoint',
    )
  })

  for (const [what, endpoint, paths] of [
    ['no kind', { keyVariable: 'K' }, ['kind']],
    ['an unknown kind', { kind: 'gemini', keyVariable: 'K' }, ['kind']],
    ['a text', 'wss://x', ['kind']],
    ['no key variable', { kind: 'openai' }, ['keyVariable']],
    ['the key itself', { kind: 'openai', keyVariable: 'sk-abc' }, ['keyVariable']],
    ['a plain address', { kind: 'openai', url: 'ws://example.com/v1/realtime', keyVariable: 'K' }, ['url']],
    ['a password', { kind: 'openai', url: 'wss://u:p@example.com/', keyVariable: 'K' }, ['url']],
    ['an address of the web', { kind: 'openai', url: 'https://example.com/', keyVariable: 'K' }, ['url']],
    ['a model with a space', { kind: 'openai', model: 'a b', keyVariable: 'K' }, ['model']],
    ['an unknown name', { kind: 'openai', keyVariable: 'K', deployment: 'd' }, ['deployment']],
    ['half of Azure', { kind: 'azure', endpoint: 'http://x.example.com' }, ['endpoint', 'deployment', 'keyVariable']],
  ] as const)
    test(`[LI6] [LI1] an endpoint with ${what} is reported by its path`, () => {
      const pools = [{ pool: 'a', callsMax: 10, endpoint }]
      assert.deepEqual(
        pathsOf({ pools }),
        paths.map((name) => `pools[0].endpoint.${name}`),
      )
      assert.doesNotMatch(JSON.stringify(problemsOf({ pools })), /sk-abc|u:p/, '[LR3] a secret is shown')
    })

  test('each example of docs/limits.md is a right file', () => {
    const page = readFileSync(new URL('../../docs/limits.md', import.meta.url), 'utf8')
    const examples = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text]) => text!)
    assert.equal(examples.length, 2)
    for (const text of examples) assert.deepEqual(problemsOf(text), [])
  })
})

test('[S8] the file bounds what a tenant spends in a day; who is not listed has what otherTenants says', () => {
  const read = (tenants: object[], otherTenants: object) =>
    parseLimits(JSON.stringify({ pools: [{ pool: 'a', callsMax: 10 }], tenants, otherTenants }))
  const result = read([{ tenant: 'acme', minutesPerDay: 60.5 }, { tenant: 'beta' }], { moneyPerDay: 7 })
  assert.ok(result.kind === 'ok')
  const { budgetOf, needsPrices } = result.limits
  assert.deepEqual(budgetOf('acme'), { minutes: 60.5, money: undefined })
  assert.deepEqual(budgetOf('beta'), { minutes: undefined, money: undefined })
  assert.deepEqual(budgetOf('gamma'), { minutes: undefined, money: 7 })
  assert.equal(needsPrices, true)
  for (const wrong of [0, -1, '5', 1e12]) {
    const bad = read([{ tenant: 'acme', minutesPerDay: wrong }], {})
    assert.ok(bad.kind === 'invalid' && bad.problems[0]?.path === 'tenants[0].minutesPerDay', String(wrong))
  }
})
