// A connection over TLS: its socket is another kind of stream, and takes one write at a time. A shared key stands in for certificates.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { type SocketEnd, WebSocketConnection } from './connection.ts'

const OPTIONS = { maxPayloadBytes: 1_000_000, bufferedMaxBytes: 50_000_000 }
const PSK = { psk: Buffer.from('0123456789abcdef'), identity: 'test' }
const TLS = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const

async function openPair(): Promise<{ client: TLSSocket; server: TLSSocket; close(): void }> {
  const listening = createServer({ ...TLS, pskCallback: () => PSK.psk })
  listening.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const accepted = once(listening, 'secureConnection') as Promise<[TLSSocket]>
  const { port } = listening.address() as AddressInfo
  const client = connect({
    ...TLS,
    host: '127.0.0.1',
    port,
    pskCallback: () => PSK,
    checkServerIdentity: () => undefined,
  })
  await once(client, 'secureConnect')
  const [server] = await accepted
  return { client, server, close: () => [client.destroy(), server.destroy(), listening.close()] }
}

test('[O22] [WC5] over TLS, many large texts in one turn to a slow peer all arrive, in order, and an answer comes back', async () => {
  const { client, server, close } = await openPair()
  const heard: number[] = []
  let answered: (text: string) => void = () => {}
  const answer = new Promise<string>((resolve) => (answered = resolve))
  const ends: SocketEnd[] = []
  const end = {
    onFault: (error: unknown) => assert.fail(String(error)),
    onBinary() {},
    onClosed: (one: SocketEnd) => void ends.push(one),
  }
  const ours = new WebSocketConnection(
    client,
    { ...end, onText: (buffer, start, stop) => answered(buffer.toString('utf8', start, stop)) },
    { ...OPTIONS, role: 'client' },
  )
  for (let i = 0; i < 60; i += 1) ours.sendText(`${i} ${'x'.repeat(100_000)}`)
  assert.ok(ours.isOpen && ours.bufferedBytes > 1_000_000, 'the peer has read nothing yet')
  await new Promise((resolve) => setTimeout(resolve, 30))
  for (let i = 60; i < 80; i += 1) ours.sendText(`${i} ${'x'.repeat(100_000)}`)
  const peer = new WebSocketConnection(
    server,
    {
      ...end,
      onText: (buffer, start, stop) => {
        heard.push(Number.parseInt(buffer.toString('latin1', start, start + 3), 10))
        if (heard.length === 80) peer.sendText(`heard ${stop - start}`)
      },
    },
    { ...OPTIONS, role: 'server' },
  )
  assert.equal(await answer, 'heard 100003')
  assert.deepEqual(
    heard,
    Array.from({ length: 80 }, (_, i) => i),
  )
  ours.close(4000, 'done')
  await Promise.all([once(client, 'close'), once(server, 'close')])
  assert.deepEqual(ends, [
    { code: 4000, reason: 'done', cause: 'closed' },
    { code: 4000, reason: 'done', cause: 'closed' },
  ])
  close()
})
