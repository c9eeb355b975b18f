// What the attacks of a siege send, against a server that answers once and ends the connection.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { attack } from './attacks.ts'

test('[P62] the siege sends pipelined requests without a Host and with an unknown Expect, on connections that it begins anew', async () => {
  for (const [kind, line] of [
    ['no-host', /^GET \/twilio\/voice HTTP\/1\.1\r\n\r\nGET /],
    ['expect', /^GET \/twilio\/voice HTTP\/1\.1\r\nHost: x\r\nExpect: tea\r\n\r\nGET /],
  ] as const) {
    const sent: string[] = []
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', (chunk) => {
        sent.push(chunk.toString('latin1'))
        socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
      })
      socket.resume()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const seen = await attack(kind, { url, podUrl: url, from: '127.0.0.1', seconds: 0.6 })
    server.close()
    assert.ok(seen.begun > 20, `${kind}: ${seen.begun} connections`)
    assert.deepEqual(
      Object.keys(seen.statuses).filter((status) => status !== 'cut'),
      ['400'],
    )
    for (const text of sent) assert.match(text, line)
  }
})
