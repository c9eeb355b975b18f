import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { canWriteTo, type WriteHandle, writeTo } from './write-request.ts'

const BIG_BYTES = 16 * 1024 * 1024

async function pair(): Promise<{ near: Socket; far: Socket; handle: WriteHandle; close: () => void }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[Socket], unknown]
  const handle = (near as unknown as { _handle: object })._handle
  assert.ok(canWriteTo(handle), 'this Node gives its class of requests')
  const close = () => {
    near.destroy()
    far.destroy()
    server.close()
  }
  return { near, far, handle, close }
}

async function read(far: Socket, lengthBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let seen = 0
  far.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    seen += chunk.length
  })
  far.resume()
  while (seen < lengthBytes) await once(far, 'data')
  return Buffer.concat(chunks)
}

const never = () => assert.fail('no write failed')

test('[WRQ1] writes that are taken whole arrive in order, and their memory may be used again at once', async () => {
  const { far, handle, close } = await pair()
  const memory = Buffer.alloc(4)
  for (let i = 0; i < 100; i++) {
    memory.writeUInt32BE(i)
    assert.equal(writeTo(handle, memory, never), 'out')
  }
  const got = await read(far, 400)
  assert.deepEqual(
    Array.from({ length: 100 }, (_, i) => got.readUInt32BE(i * 4)),
    Array.from({ length: 100 }, (_, i) => i),
  )
  close()
})

test('[WRQ2] a write that waits arrives whole, also when others are made and collected meanwhile', async () => {
  const one = await pair()
  const other = await pair()
  assert.equal(writeTo(one.handle, Buffer.alloc(BIG_BYTES, 1), never), 'waits')
  assert.equal(writeTo(one.handle, Buffer.alloc(8, 2), never), 'waits')
  assert.equal(writeTo(other.handle, Buffer.alloc(8, 3), never), 'out')
  const garbage = Array.from({ length: 50 }, () => Buffer.alloc(1024 * 1024, 9))
  assert.equal(garbage.length, 50)
  const got = await read(one.far, BIG_BYTES + 8)
  assert.equal(got.length, BIG_BYTES + 8)
  assert.ok(got.subarray(0, BIG_BYTES).equals(Buffer.alloc(BIG_BYTES, 1)))
  assert.ok(got.subarray(BIG_BYTES).equals(Buffer.alloc(8, 2)))
  assert.ok((await read(other.far, 8)).equals(Buffer.alloc(8, 3)))
  one.close()
  other.close()
})

test('[WRQ2] a write that waits and then fails is told; one to a closed handle fails at once', async () => {
  const { near, handle, close } = await pair()
  const failed = new Promise<void>((resolve) => {
    assert.equal(writeTo(handle, Buffer.alloc(BIG_BYTES), resolve), 'waits')
  })
  near.destroy()
  await failed
  assert.equal(writeTo(handle, Buffer.alloc(8), never), 'failed')
  close()
})
