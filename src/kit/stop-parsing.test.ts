// A connection that is given up is not parsed on: this holds Node's parser to it.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import { stopParsing } from './stop-parsing.ts'

test('[S2] of ten thousand pipelined requests no more are emitted once the parsing is stopped', async () => {
  let emitted = 0
  const server = createServer((request) => {
    emitted += 1
    if (emitted < 2) return
    stopParsing(request.socket)
    request.socket.destroy()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(10_000))
  await closed
  await new Promise((resolve) => server.close(resolve))
  assert.equal(emitted, 2)
})
