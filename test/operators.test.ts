// Who may look and act, on real sockets: operators by their tokens wherever they come from, and pods of a rolling change of secrets.
import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { fastify } from 'fastify'
import { makePeers, peerRoutes } from '../src/call-control/peers.ts'
import { makeStreamTokens } from '../src/call-control/stream-token.ts'
import { readConfig } from '../src/config.ts'
import { type Edge, startEdge } from '../src/edge.ts'
import { FakeClock, systemClock } from '../src/kit/clock.ts'
import { VoiceError } from '../src/kit/errors.ts'
import type { CallSid } from '../src/kit/ids.ts'
import { LINES_PER_SECOND, type Log, silentLog } from '../src/kit/log.ts'
import { Operators, readOperators, WRONG_MAX, WRONG_MS } from '../src/ops/operators.ts'
import { workRoutes } from '../src/ops/work.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import { ADMIN_TOKEN } from './plane.ts'

type Line = { level: string; message: string } & Record<string, unknown>
const METRICS_TOKEN = 'the-token-of-the-scraper-0'
const OLD = 'the-old-secret-of-the-fleet-0123456789'
const NEW = 'the-new-secret-of-the-fleet-0123456789'

function keeping(lines: Line[]): Log {
  const keep = (level: string) => (fields: object, message: string) => lines.push({ ...fields, level, message })
  const log: Log = { debug() {}, info: keep('info'), warn: keep('warn'), error: keep('error'), child: () => log }
  return log
}

async function openEdge(env: Record<string, string>, lines: Line[] = []): Promise<Edge> {
  const read = readConfig({ PORT: '0', OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime', ...env })
  assert.ok(read.kind === 'ok', JSON.stringify(read))
  const log = keeping(lines)
  return startEdge({ config: read.config, pack: makeClinicPack({ clock: systemClock, log: silentLog }), log })
}

const ask = (url: string, token?: string, init: RequestInit = {}) =>
  fetch(url, {
    ...init,
    headers: { ...init.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
  })

describe('operators', () => {
  const lines: Line[] = []
  let edge: Edge
  before(async () => {
    edge = await openEdge({ ADMIN_TOKEN, OPERATOR_TOKENS: `scraper:metrics:${METRICS_TOKEN}` }, lines)
  })
  after(() => edge.close())

  test('[SAFE-3][S1][OPR1] a drain that a page of another site asks for, through a proxy on the same machine, is refused', async () => {
    const tricks: Record<string, string>[] = [
      { origin: 'https://evil.example', 'content-type': 'text/plain' },
      { 'x-forwarded-for': '127.0.0.1' },
    ]
    for (const headers of tricks)
      assert.equal((await ask(`${edge.url}/drain`, undefined, { method: 'POST', headers, body: 'x' })).status, 401)
    assert.equal((await ask(`${edge.url}/drain`, 'a-wrong-token-of-some-length', { method: 'POST' })).status, 401)
    assert.equal((await ask(`${edge.url}/drain`, METRICS_TOKEN, { method: 'POST' })).status, 403)
    assert.equal(edge.pod.driver.phase, 'ready')
  })

  test('[SAFE-3][S1] /metrics, /admin and /internal too ask for a credential from loopback; the probes do not', async () => {
    assert.equal((await ask(`${edge.url}/metrics`)).status, 401)
    assert.equal((await ask(`${edge.url}/metrics`, METRICS_TOKEN)).status, 200)
    assert.equal((await ask(`${edge.url}/metrics`, ADMIN_TOKEN)).status, 200)
    assert.equal(
      (
        await ask(`${edge.url}/internal/store`, undefined, {
          method: 'POST',
          body: '{}',
          headers: { 'content-type': 'application/json' },
        })
      ).status,
      403,
    )
    assert.equal((await ask(`${edge.url}/healthz`)).status, 200)
    assert.equal((await ask(`${edge.url}/ready`)).status, 200)
  })

  test('[OPS-3][S19][OPR3] each request of an operator is one line: who, what, with which outcome, and no token', async () => {
    lines.length = 0
    await ask(`${edge.url}/metrics`, METRICS_TOKEN)
    await ask(`${edge.url}/drain`, METRICS_TOKEN, { method: 'POST' })
    await ask(`${edge.url}/metrics`, 'a-wrong-token-of-some-length')
    const told = lines.map(({ message, operator, route, status }) => ({ message, operator, route, status }))
    assert.deepEqual(told, [
      { message: 'an operator made a request', operator: 'scraper', route: '/metrics', status: 200 },
      { message: 'a request for operators was refused', operator: 'scraper', route: '/drain', status: 403 },
      { message: 'a request for operators was refused', operator: undefined, route: '/metrics', status: 401 },
    ])
    for (const secret of [ADMIN_TOKEN, METRICS_TOKEN, 'a-wrong-token'])
      assert.ok(!JSON.stringify(lines).includes(secret))
  })

  test('[ELS1] a pod that is asked for the work after calls says which role serves it', async () => {
    for (const path of ['/admin/work', '/admin/calls/CA1', '/admin/erasures/1']) {
      const answer = await ask(edge.url + path, ADMIN_TOKEN)
      assert.equal(answer.status, 404)
      assert.match(await answer.text(), /worker/)
    }
    assert.doesNotMatch(await (await ask(`${edge.url}/administration`, ADMIN_TOKEN)).text(), /worker/)
  })

  test('[OPS-4][S1][HE4] with OPS_PORT operators have a listener of their own, and the port of the calls knows nothing of them', async () => {
    const apart = await openEdge({ ADMIN_TOKEN, OPS_PORT: '0' })
    assert.notEqual(apart.opsUrl, apart.url)
    for (const path of ['/metrics', '/drain', '/admin/work'])
      for (const method of ['GET', 'POST'])
        assert.equal((await ask(apart.url + path, ADMIN_TOKEN, { method })).status, 404, path)
    assert.equal((await ask(`${apart.opsUrl}/metrics`)).status, 200)
    assert.equal((await ask(`${apart.opsUrl}/drain`, undefined, { method: 'POST' })).status, 401)
    assert.equal((await ask(`${apart.opsUrl}/drain`, ADMIN_TOKEN, { method: 'POST' })).status, 200)
    await apart.close()
  })

  test('[S1][OPR1] without any operator these routes do not exist, and say how to get one', async () => {
    const bare = await openEdge({})
    for (const path of ['/metrics', '/drain']) {
      const answer = await ask(bare.url + path, 'anything-at-all-of-some-length', {
        method: path === '/drain' ? 'POST' : 'GET',
      })
      assert.equal(answer.status, 404)
      assert.match(await answer.text(), /ADMIN_TOKEN/)
    }
    await bare.close()
  })
})

test('[OPS-3][S19][OPR3] an audit line repeats a Call SID or an id of the path and no other text; refusals are sampled', async () => {
  const lines: Line[] = []
  const credentials = [
    { id: 'reader', scopes: ['read' as const], token: ADMIN_TOKEN },
    { id: 'scraper', scopes: ['metrics' as const], token: METRICS_TOKEN },
  ]
  const operators = new Operators(credentials, { log: keeping(lines), nowMs: () => 0 })
  const app = fastify()
  await app.register(async (scoped) => {
    operators.guard(scoped, 'read')
    scoped.get('/it/:what', async () => 'ok')
  })
  const get = (what: string, token: string) =>
    app.inject({ url: `/it/${encodeURIComponent(what)}`, headers: { authorization: `Bearer ${token}` } })
  const callSid = `CA${'0a'.repeat(16)}`
  const known = [callSid, '17']
  const others = ['+15005550101', '\u202egpj', 'a word', '15005550101 ', `${callSid}x`, '1'.repeat(19)]
  for (const what of [...known, ...others]) assert.equal((await get(what, ADMIN_TOKEN)).statusCode, 200)
  assert.deepEqual(
    lines.map(({ subject }) => subject),
    [...known, ...others.map(() => undefined)],
  )
  for (const what of others) assert.ok(!JSON.stringify(lines).includes(what), what)
  lines.length = 0
  for (let n = 0; n < 3 * LINES_PER_SECOND; n += 1) assert.equal((await get('1', METRICS_TOKEN)).statusCode, 403)
  const refused = lines.filter(({ message }) => message === 'a request for operators was refused').length
  assert.ok(refused >= LINES_PER_SECOND && refused < 3 * LINES_PER_SECOND, `${refused} lines`)
  await app.close()
})

test('[S19][OPR4] wrong tokens are throttled by their address, not logged beyond the bound; a right one always passes', async () => {
  const lines: Line[] = []
  const clock = new FakeClock()
  const credentials = [{ id: 'admin', scopes: ['read' as const], token: ADMIN_TOKEN }]
  const operators = new Operators(credentials, { log: keeping(lines), nowMs: () => clock.monotonicMs() })
  const app = fastify()
  await app.register(async (scoped) => {
    operators.guard(scoped, 'read')
    scoped.get('/it', async () => 'ok')
  })
  const status = async (token: string) =>
    (await app.inject({ url: '/it', headers: { authorization: `Bearer ${token}` } })).statusCode
  const wrong = []
  for (let n = 0; n < WRONG_MAX + 5; n++) wrong.push(await status(`wrong-${n}`))
  assert.deepEqual(wrong, [...Array(WRONG_MAX).fill(401), ...Array(5).fill(429)])
  assert.equal(lines.length, WRONG_MAX)
  assert.equal(await status(ADMIN_TOKEN), 200)
  clock.advance(WRONG_MS + 1)
  assert.equal(await status('wrong'), 401)
  await app.close()
})

test('[S18] operators in their form; what is wrong in it is said without a token', () => {
  const token = 'x'.repeat(24)
  const read = readOperators(`alice:read+erase:${token}, deploy:drain:${token}2`)
  assert.ok(read.kind === 'operators')
  assert.deepEqual(
    read.operators.map(({ id, scopes }) => [id, scopes]),
    [
      ['alice', ['read', 'erase']],
      ['deploy', ['drain']],
    ],
  )
  for (const text of [
    '',
    'a',
    `a:read`,
    `a:fly:${token}`,
    `a:read:short`,
    `A:read:${token}`,
    `a::${token}`,
    `a:read:${token}:more`,
  ]) {
    const bad = readOperators(text)
    assert.equal(bad.kind, 'bad', text)
    assert.ok(!JSON.stringify(bad).includes(token))
  }
})

describe('[S18] secrets in a rolling change', () => {
  /** The states of a fleet's pods while OLD becomes NEW: what a pod of one step says, a pod of the next or the same takes. */
  const STEPS = [
    { secret: OLD, secondary: undefined },
    { secret: OLD, secondary: NEW },
    { secret: NEW, secondary: OLD },
    { secret: NEW, secondary: undefined },
  ]
  const neighbours = STEPS.flatMap((one, at) => [
    [one, one] as const,
    ...(STEPS[at + 1] === undefined
      ? []
      : ([
          [one, STEPS[at + 1]!],
          [STEPS[at + 1]!, one],
        ] as const)),
  ])

  test('[SAFE-5][TK4] stream tokens are good at pods of the same step and of the next, both ways; a stranger’s never', () => {
    const callSid = `CA${'1'.repeat(32)}` as CallSid
    for (const [from, to] of neighbours) {
      const token = makeStreamTokens({ ...from, ttlMs: 1_000 }).mint({ callSid, pod: 'a', epoch: 1, nowMs: 0 })
      assert.equal(makeStreamTokens({ ...to, ttlMs: 1_000 }).verify(token, { callSid, nowMs: 1 }).kind, 'valid')
    }
    const strange = makeStreamTokens({ secret: 'another', ttlMs: 1_000 }).mint({
      callSid,
      pod: 'a',
      epoch: 1,
      nowMs: 0,
    })
    for (const to of STEPS)
      assert.equal(makeStreamTokens({ ...to, ttlMs: 1_000 }).verify(strange, { callSid, nowMs: 1 }).kind, 'forged')
  })

  test('[SAFE-5][PE4] questions between pods are taken in the same way, over real sockets', async () => {
    for (const [from, to] of neighbours) {
      const app = fastify()
      const answers = {
        expect: async () => 'ready' as const,
        forget: () => undefined,
        ended: () => true,
        storeState: () => 'well' as const,
      }
      await app.register(peerRoutes, { ...to, wallMs: () => Date.now(), answers })
      await app.listen({ host: '127.0.0.1', port: 0 })
      const address = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
      assert.equal(await makePeers(from.secret, () => Date.now()).storeWord(address, 5_000), 'well')
      assert.equal(await makePeers('another', () => Date.now()).storeWord(address, 5_000), 'unknown')
      await app.close()
    }
  })

  test('[SAFE-5][OPR1] both admin tokens are good while they are changed', async () => {
    const edge = await openEdge({ ADMIN_TOKEN: `${ADMIN_TOKEN}-2`, ADMIN_TOKEN_SECONDARY: ADMIN_TOKEN })
    for (const token of [ADMIN_TOKEN, `${ADMIN_TOKEN}-2`])
      assert.equal((await ask(`${edge.url}/metrics`, token)).status, 200)
    await edge.close()
  })
})

test('[OPS-6][O16][OPR5] with the database away an admin route answers 503 and tells no address; a bug is a 500 that tells nothing', async () => {
  const lines: Line[] = []
  const credentials = [{ id: 'admin', scopes: ['read' as const, 'work' as const], token: ADMIN_TOKEN }]
  const operators = new Operators(credentials, { log: keeping(lines), nowMs: () => 0 })
  const app = fastify()
  const address = '10.1.2.3:5432'
  const store = {
    list: () =>
      Promise.reject(
        new VoiceError('STORE_UNAVAILABLE', { message: `connect ECONNREFUSED ${address}`, retryable: true }),
      ),
    record: () => Promise.reject(new Error(`relation of ${address}`)),
    rerun: () => Promise.reject(new VoiceError('STORE_UNAVAILABLE', { message: address })),
  }
  await app.register(workRoutes, { store: store as never, operators })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const answers = [
    await ask(`${url}/admin/work`, ADMIN_TOKEN),
    await ask(`${url}/admin/work/1/rerun`, ADMIN_TOKEN, { method: 'POST' }),
    await ask(`${url}/admin/calls/CA${'1'.repeat(32)}`, ADMIN_TOKEN),
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [503, 503, 500],
  )
  for (const answer of answers) assert.ok(!(await answer.text()).includes('10.1.2.3'))
  assert.ok(JSON.stringify(lines).includes(address), 'the log has the reason')
  await app.close()
})
