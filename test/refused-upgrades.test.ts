// Upgrades that are refused: the socket does not outlive its refusal, whatever the peer does.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { startWatch, until } from '../src/kit/testing/patience.ts'
import { Plane } from './plane.ts'

/** The bound of S4: descriptors are back by then. */
const BACK_MS = 5_000
const SOCKETS = 200

let plane: Plane
before(async () => {
  plane = await Plane.open()
})
after(() => plane.close())

const REFUSED: [string, string][] = [
  ['no WebSocket', 'GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
  [
    'no such path',
    'GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  ],
  [
    'no signature',
    `GET /media/pod-1/CA${'0'.repeat(32)}/${'a'.repeat(40)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n` +
      'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  ],
]

/** Plane and peers share this process: its descriptors are those of both. */
const descriptors = (): number => readdirSync('/proc/self/fd').length

async function refused(request: string): Promise<{ socket: Socket; answer: string }> {
  const { hostname, port } = new URL(plane.edge.url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  socket.on('error', () => socket.destroy())
  socket.write(request)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return { socket, answer: answer.toString('latin1') }
}

for (const [what, request] of REFUSED) {
  test(`[S4] [WA2] ${what}: descriptors are back when the peers have sent a byte more and closed`, async () => {
    const before = descriptors()
    for (let i = 0; i < SOCKETS; i++) {
      const { socket, answer } = await refused(request)
      assert.match(answer, /^HTTP\/1\.1 4\d\d /)
      socket.end('x')
      socket.destroySoon()
      await once(socket, 'close')
    }
    await until(
      () => `${descriptors()} descriptors, ${before} before`,
      () => descriptors() <= before + 5,
    )
  })

  test(`[S4] [WA2] ${what}: a peer that never closes, and goes on sending, is ended`, async () => {
    const { socket } = await refused(request)
    const talk = setInterval(() => socket.write('x'), 100)
    const watch = startWatch()
    // Not `once`: a peer that is ended while it sends has an error of its own.
    await new Promise((resolve) => socket.on('close', resolve))
    clearInterval(talk)
    assert.ok(watch.elapsedMs() < BACK_MS)
  })
}

test('[WA2] the next call is served', () => plane.servesANormalCall())
