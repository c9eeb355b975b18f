import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { startRedis } from './redis.ts'

async function ask(url: string, command: string, ...args: string[]): Promise<unknown> {
  const client = new Redis(url, { maxRetriesPerRequest: 0 })
  client.on('error', () => {}) // the server is killed under it on purpose
  try {
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

test('[VR1][VR3] a restarted Redis has the same address and is empty', async () => {
  const redis = await startRedis()
  try {
    await ask(redis.url, 'SET', 'note', '1')
    assert.equal(await ask(redis.url, 'GET', 'note'), '1')
    const { pid, port } = redis
    await redis.restartEmpty()
    assert.notEqual(redis.pid, pid)
    assert.equal(redis.port, port)
    assert.equal(await ask(redis.url, 'GET', 'note'), null)
  } finally {
    await redis.stop()
  }
  await redis.stop()
})

test('[VR1] arguments that are given win', async () => {
  const redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  try {
    await ask(redis.url, 'SET', 'note', '1')
    await redis.restartEmpty()
    assert.equal(await ask(redis.url, 'GET', 'note'), '1')
  } finally {
    await redis.stop()
  }
})
