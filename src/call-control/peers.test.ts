// Questions between pods over real HTTP: who may ask, and what a stranger costs.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { type FastifyInstance, fastify } from 'fastify'
import type { CallId, CallSid } from '../kit/ids.ts'
import { until } from '../kit/testing/patience.ts'
import {
  type Expected,
  makePeers,
  PEER_BODIES_MAX,
  PEER_BODY_MAX_BYTES,
  peerRoutes,
  SKEW_MAX_MS,
  stamp,
} from './peers.ts'

const SECRET = 's'.repeat(32)
const apps: FastifyInstance[] = []
const sockets: Socket[] = []
after(async () => {
  for (const socket of sockets) socket.destroy()
  for (const app of apps) app.server.closeAllConnections()
  await Promise.all(apps.map((app) => app.close()))
})

const call: Expected = {
  callId: 'call_1' as CallId,
  callSid: 'CA00000000000000000000000000000001' as CallSid,
  tenant: 't',
  from: '+15005550006',
  to: '+15005550001',
  direction: 'inbound',
  pool: 'main',
  epoch: 2,
  how: { kind: 'handover', checkpoint: 'x'.repeat(1_000_000), intents: [] },
}

async function open() {
  const app = fastify()
  apps.push(app)
  const seen = { expected: [] as Expected[], authenticated: 0, refused: 0 }
  await app.register(peerRoutes, {
    secret: SECRET,
    wallMs: () => Date.now(),
    answers: {
      expect: async (one) => {
        seen.expected.push(one)
        return 'ready'
      },
      forget: () => {},
      ended: () => false,
      storeState: () => 'well',
    },
    onAuthenticated: () => {
      seen.authenticated += 1
    },
    onRefused: () => {
      seen.refused += 1
    },
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return { port, seen, url: `http://127.0.0.1:${port}` }
}

/** Sends a head, and of its body the first byte only. */
function begin(port: number, header: string | undefined, bytes: number, path = '/internal/expect'): Socket {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  const lines = [`POST ${path} HTTP/1.1`, 'Host: pod', 'Content-Type: application/json', `Content-Length: ${bytes}`]
  if (header !== undefined) lines.push(`X-Voice-Peer: ${header}`)
  socket.write(`${lines.join('\r\n')}\r\n\r\n{`)
  return socket
}

async function answerOf(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  return chunk.toString().split('\r\n')[0]!
}

test('[PE1] a peer’s question is answered, with a body of a megabyte', async () => {
  const { url, seen } = await open()
  const peers = makePeers(SECRET, () => Date.now())
  assert.deepEqual(await peers.expect(url, call, 10_000), { kind: 'ready' })
  assert.deepEqual(seen.expected, [call])
  assert.equal(await peers.storeWord(url, 10_000), 'well')
  assert.deepEqual(await makePeers('t'.repeat(32), () => Date.now()).expect(url, call, 10_000), { kind: 'refused' })
  assert.deepEqual([seen.expected.length, seen.refused], [1, 1])
})

test('[SAFE-4][S10] [PE1] a stranger is refused by the head alone, before any body, and the connection is closed', async () => {
  const { port, seen } = await open()
  const now = Date.now()
  const strangers: [string, string | undefined][] = [
    ['no header', undefined],
    ['another secret', stamp('t'.repeat(32), now, '/internal/expect', '{}')],
    ['another path', stamp(SECRET, now, '/internal/store', '{}')],
    ['too old', stamp(SECRET, now - SKEW_MAX_MS - 5_000, '/internal/expect', '{}')],
    ['no number', `x${stamp(SECRET, now, '/internal/expect', '{}')}`],
    ['nothing in it', ''],
    ['dots', '..'],
  ]
  for (const [what, header] of strangers) {
    const socket = begin(port, header, PEER_BODY_MAX_BYTES)
    assert.equal(await answerOf(socket), 'HTTP/1.1 403 Forbidden', what)
    await once(socket, 'close')
  }
  assert.deepEqual([seen.authenticated, seen.refused, seen.expected.length], [0, strangers.length, 0])
})

test('[S10] [PE1] a right header with another body is refused', async () => {
  const { url, seen } = await open()
  const body = JSON.stringify(call)
  const headers = {
    'x-voice-peer': stamp(SECRET, Date.now(), '/internal/expect', body),
    'content-type': 'application/json',
  }
  const answer = await fetch(`${url}/internal/expect`, { method: 'POST', headers, body: body.replace('"t"', '"u"') })
  assert.deepEqual([answer.status, seen.expected.length], [403, 0])
  const right = await fetch(`${url}/internal/expect`, { method: 'POST', headers, body })
  assert.deepEqual([right.status, seen.expected.length], [200, 1])
})

test('[S10] [PE5] bodies that are read at once are bounded, also those of peers; places come back', async () => {
  const { port, url, seen } = await open()
  const header = stamp(SECRET, Date.now(), '/internal/expect', '{}')
  const podCall = Array.from({ length: PEER_BODIES_MAX }, () => begin(port, header, PEER_BODY_MAX_BYTES))
  await until('all bodies are being read', () => seen.authenticated === PEER_BODIES_MAX)
  assert.equal(await answerOf(begin(port, header, PEER_BODY_MAX_BYTES)), 'HTTP/1.1 503 Service Unavailable')
  for (const socket of podCall) socket.destroy()
  const peers = makePeers(SECRET, () => Date.now())
  await until('places are back', async () => (await peers.storeWord(url, 10_000)) === 'well')
})
