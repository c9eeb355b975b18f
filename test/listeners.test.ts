// Strangers at any listener of a process: how many connections they hold, and how many requests one of them carries.
import assert from 'node:assert/strict'
import { Agent, get, request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../src/config.ts'
import { startEdge } from '../src/edge.ts'
import { systemClock } from '../src/kit/clock.ts'
import { silentLog } from '../src/kit/log.ts'
import { until } from '../src/kit/testing/patience.ts'
import { UNAUTHENTICATED_MAX } from '../src/kit/unauthenticated.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import { ADMIN_TOKEN, LISTEN, Plane } from './plane.ts'
import { newCallSid, sign } from './raw-carrier.ts'

const OVER = 100

let plane: Plane
before(async () => {
  plane = await Plane.open({ env: { OPS_PORT: '0' } })
})
after(() => plane.close())

type Raw = { socket: Socket; text: string; isClosed: boolean }

function raw(url: string, sent = ''): Raw {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const one: Raw = { socket, text: '', isClosed: false }
  socket.setEncoding('latin1')
  socket.on('error', () => {})
  socket.on('data', (part: string) => {
    one.text += part
  })
  socket.on('close', () => {
    one.isClosed = true
  })
  if (sent !== '') socket.write(sent)
  return one
}

const ask = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
const countOf = (text: string, part: string): number => text.split(part).length - 1

/** One request of an agent that keeps its connection; gives back its status and the local port, which names the connection. */
function askOn(
  agent: Agent,
  url: string,
  init: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; port: number }> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(url, { agent, method: init.method ?? 'GET', headers: init.headers }, (answer) => {
      const port = answer.socket.localPort!
      answer.resume()
      answer.on('end', () => resolve({ status: answer.statusCode!, port }))
    })
    asked.on('error', reject)
    asked.end(init.body)
  })
}

test('[S2] [LIS2] silent connections at the listener of OPS_PORT are bounded like those at the port of the calls', async () => {
  const silent: Raw[] = []
  for (let i = 0; i < UNAUTHENTICATED_MAX + OVER; i++) {
    silent.push(raw(i % 2 === 0 ? plane.edge.opsUrl : plane.edge.url))
    if (i % 50 === 49) await sleep(10)
  }
  await until('those over the bound are ended', () => silent.filter(({ isClosed }) => isClosed).length >= OVER)
  assert.equal((await fetch(`${plane.edge.opsUrl}/ready`)).status, 200)
  await until('all are ended', () => silent.every(({ isClosed }) => isClosed))
  const report = await plane.call(LISTEN)
  assert.equal(report.wasDropped, false)
})

test('[S1] [UNA1] the token of an operator keeps its connection, at both listeners', async () => {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
  for (const env of [{}, { OPS_PORT: '0' }]) {
    const read = readConfig({ PORT: '0', OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime', ADMIN_TOKEN, ...env })
    assert.ok(read.kind === 'ok', JSON.stringify(read))
    const edge = await startEdge({
      ...{ config: read.config, pack: makeClinicPack({ clock: systemClock, log: silentLog }), log: silentLog },
      alsoServe: async (app, _registry, operators) => {
        await app.register(async (scoped) => {
          operators.guard(scoped, 'read')
          scoped.get('/admin/looked-at', async () => ({}))
        })
      },
    })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const asked = []
    for (let i = 0; i < 5; i++) asked.push(await askOn(agent, `${edge.opsUrl}/admin/looked-at`, { headers }))
    agent.destroy()
    await edge.close()
    assert.deepEqual([...new Set(asked.map(({ status }) => status))], [200])
    assert.equal(new Set(asked.map(({ port }) => port)).size, 1)
  }
})

test('[S2] [UNA4] a request that shows nothing is the last of its connection, and its answer says so', async () => {
  for (const url of [plane.edge.url, plane.edge.opsUrl])
    for (const path of [
      '/nope',
      '/ready',
      '/healthz',
      '/admin/calls',
      '/twilio/voice',
      '/internal/store',
      '/metrics',
    ]) {
      const one = raw(url, ask(path))
      await until('it is ended', () => one.isClosed)
      assert.match(one.text, /^HTTP\/1\.1 (200|401|403|404|503) /, path)
      assert.match(one.text, /\r\nconnection: close\r\n/i, path)
    }
})

test('[S2] [UNA4] pipelined requests that show nothing are not answered, and their connection is destroyed', async () => {
  const before = plane.edge.pod.driver.phase
  for (const url of [plane.edge.url, plane.edge.opsUrl])
    for (const path of ['/nope', '/ready', '/admin/calls', '/metrics']) {
      const one = raw(url, ask(path).repeat(10_000))
      await until('it is ended', () => one.isClosed)
      assert.ok(countOf(one.text, 'HTTP/1.1 ') <= 1, `${path}: ${countOf(one.text, 'HTTP/1.1 ')} answers`)
    }
  assert.equal(plane.edge.pod.driver.phase, before)
})

test('[P62][S2] [LIS3] what Node would answer by itself is counted, answered once, and the last of its connection', async () => {
  const odd: [string, string, RegExp][] = [
    ['no Host', 'GET /ready HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['an expectation', 'GET /ready HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n', /^HTTP\/1\.1 417 /],
    ['no path', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', /^(HTTP\/1\.1 4\d\d |$)/],
    ['no HTTP', 'nonsense\r\n\r\n', /^HTTP\/1\.1 400 /],
  ]
  for (const url of [plane.edge.url, plane.edge.opsUrl])
    for (const [what, request, answer] of odd) {
      const one = raw(url, request)
      await until('it is ended', () => one.isClosed)
      assert.match(one.text, answer, what)
      const many = raw(url, request.repeat(10_000))
      await until('it is ended', () => many.isClosed)
      assert.ok(countOf(many.text, 'HTTP/1.1 ') <= 1, `${what}: ${countOf(many.text, 'HTTP/1.1 ')} answers`)
    }
  // HTTP/1.0 has no Host.
  const old = raw(plane.edge.url, 'GET /healthz HTTP/1.0\r\n\r\n')
  await until('the old one is ended', () => old.isClosed)
  assert.match(old.text, /^HTTP\/1\.[01] 200 /)
})

test('[S2] [UNA4] signed webhooks keep their connection, one forged among them ends it', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const url = `${plane.edge.url}/twilio/status`
  const post = (token?: string) => {
    const fields = { CallSid: newCallSid(), CallStatus: 'ringing' }
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'x-twilio-signature': token ?? sign(url, fields),
    }
    return askOn(agent, url, { method: 'POST', headers, body: new URLSearchParams(fields).toString() })
  }
  const signed = []
  for (let i = 0; i < 20; i++) signed.push(await post())
  assert.deepEqual([...new Set(signed.map(({ status }) => status))], [200])
  assert.equal(new Set(signed.map(({ port }) => port)).size, 1)
  const forged = await post('AAAAAAAAAAAAAAAAAAAAAAAAAAA=')
  assert.deepEqual([forged.status, forged.port], [403, signed[0]!.port])
  const next = await post()
  assert.equal(next.status, 200)
  assert.notEqual(next.port, forged.port)
  agent.destroy()
})

test('[UNA4] a prober that keeps connections is answered each time', async () => {
  const agent = new Agent({ keepAlive: true })
  for (let i = 0; i < 20; i++) assert.equal((await askOn(agent, `${plane.edge.url}/healthz`)).status, 200)
  agent.destroy()
  await new Promise<void>(
    (resolve) => void get(`${plane.edge.url}/ready`, (answer) => answer.resume().on('end', resolve)),
  )
})
