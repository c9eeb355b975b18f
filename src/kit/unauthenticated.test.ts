// Who goes when too many strangers are there, and where a stranger comes from.
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { Sources, UNAUTHENTICATED_MAX, UnauthenticatedConnections, unauthenticatedMax } from './unauthenticated.ts'

class FakeSocket extends EventEmitter {
  readonly remoteAddress: string
  destroyed = false
  constructor(address: string) {
    super()
    this.remoteAddress = address
  }
  destroy(): void {
    this.destroyed = true
    this.emit('close')
  }
}

const from = (address: string): Socket => new FakeSocket(address) as unknown as Socket
const request = (socket: Socket, forwarded?: string) =>
  ({ socket, headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage

test('[S2] [UNA2] one more than the bound ends the oldest, and the newest always has its place', () => {
  const strangers = new UnauthenticatedConnections({ max: 3, sources: new Sources() })
  const sockets = Array.from({ length: 10 }, () => from('192.0.2.1'))
  for (const socket of sockets) strangers.add(socket)
  assert.deepEqual(
    sockets.map(({ destroyed }) => destroyed),
    [...Array(7).fill(true), false, false, false],
  )
  assert.deepEqual([strangers.size, strangers.ended], [3, 7])
})

test('[S2] [UNA2] a source with many loses its own before a source with few', () => {
  const strangers = new UnauthenticatedConnections({ max: 10, sources: new Sources() })
  const genuine = from('198.51.100.7')
  strangers.add(genuine)
  const flood = Array.from({ length: 1_000 }, () => from('192.0.2.1'))
  for (const socket of flood) strangers.add(socket)
  assert.equal(genuine.destroyed, false)
  assert.equal(flood.filter(({ destroyed }) => !destroyed).length, 9)
})

test('[UNA1] who has shown a signature does not count until the next request; a closed connection does not either', () => {
  const strangers = new UnauthenticatedConnections({ max: 2, sources: new Sources() })
  const proxy = from('192.0.2.1')
  strangers.add(proxy)
  strangers.begin(request(proxy))
  strangers.authenticated(proxy)
  assert.equal(strangers.size, 0)
  const others = [from('192.0.2.1'), from('192.0.2.1'), from('192.0.2.1')]
  for (const other of others) strangers.add(other)
  assert.deepEqual([proxy.destroyed, others[0]!.destroyed, strangers.size], [false, true, 2])
  strangers.begin(request(proxy))
  assert.deepEqual([others[1]!.destroyed, strangers.size], [true, 2])
  proxy.destroy()
  assert.equal(strangers.size, 1)
  strangers.begin(request(proxy))
  assert.equal(strangers.size, 1)
})

test('[UNA3] the source is the socket’s address, whatever X-Forwarded-For says, unless the socket is a trusted proxy’s', () => {
  const plain = new Sources()
  assert.equal(plain.of(request(from('::ffff:192.0.2.1'), '198.51.100.7')), '192.0.2.1')
  const trusting = new Sources(['192.0.2.1', '10.0.0.0/8', '2001:db8:ffff::/48'])
  const source = (address: string, said?: string) => trusting.of(request(from(address), said))
  assert.equal(source('192.0.2.1', '203.0.113.9, 198.51.100.7'), '198.51.100.7')
  assert.equal(source('::ffff:192.0.2.1', '203.0.113.9, 198.51.100.7, 10.1.2.3'), '198.51.100.7')
  assert.equal(source('2001:db8:ffff::1', '198.51.100.7'), '198.51.100.7')
  assert.equal(source('192.0.2.2', '198.51.100.7'), '192.0.2.2')
  assert.equal(source('192.0.2.1', 'nonsense'), '192.0.2.1')
  assert.equal(source('192.0.2.1'), '192.0.2.1')
  assert.equal(source('192.0.2.1', Array(100).fill('10.0.0.1').join(',')), '10.0.0.1')
})

test('[UNA3] the addresses of one IPv6 network are one source', () => {
  const sources = new Sources()
  const of = (address: string) => sources.ofSocket(from(address))
  assert.equal(of('2001:db8:1:2:3:4:5:6'), of('2001:0db8:1:2::1'))
  assert.notEqual(of('2001:db8:1:2::1'), of('2001:db8:1:3::1'))
  assert.equal(of('::1'), '0:0:0:0')
  assert.equal(of('fe80::1%eth0'), of('fe80::2'))
})

test('[UNA2] a process that may open few files gives strangers a quarter of them', () => {
  assert.equal(unauthenticatedMax(300), 75)
  assert.equal(unauthenticatedMax(1_048_576), UNAUTHENTICATED_MAX)
  assert.equal(unauthenticatedMax(undefined), UNAUTHENTICATED_MAX)
})
