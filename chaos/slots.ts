// The slots in use, read from the store itself and not from a pod. Rules:
// SL1: each cell keeps its leases in one hash, `voice:{cell}:H`; their number is the number of slots in use, reserved ones too.
import { Redis } from 'ioredis'

const CONNECT_MS = 2_000
const KEYS_PER_SCAN = 1_000

/** [SL1] Leases of all cells. Rejects when the store cannot be reached. */
export async function slotsInUse(redisUrl: string): Promise<number> {
  const redis = new Redis(redisUrl, { connectTimeout: CONNECT_MS, maxRetriesPerRequest: 1, lazyConnect: true })
  try {
    await redis.connect()
    let inUse = 0
    let cursor = '0'
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', 'voice:{*}:H', 'COUNT', KEYS_PER_SCAN)
      for (const key of keys) inUse += await redis.hlen(key)
      cursor = next
    } while (cursor !== '0')
    return inUse
  } finally {
    redis.disconnect()
  }
}
