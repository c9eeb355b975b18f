// A process that holds one call in the lease store while its wall clock is wrong (clock-skew.ts is loaded before it). It announces a
// pod, admits the call, opens it, and renews both until it is told to stop; then it moves the call on. Each answer goes to its parent.
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import { type HolderOrder, SKEWED_TIMES } from './skewed-order.ts'

const RENEW_EVERY_MS = 200

const { url, cell, pod, callSid } = JSON.parse(process.argv[2]!) as HolderOrder
const tell = (kind: string, answer: unknown): void => void process.send?.({ kind, answer })
const store = await openRedisLeases({ url, cell, times: SKEWED_TIMES })
const entry = {
  pod,
  incarnation: pod,
  address: 'http://127.0.0.1:80',
  state: 'ready',
  callsMax: 10,
  penalty: 0,
} as const

tell('wall', Date.now())
await store.announce(entry)
const acquired = await store.acquire({ callSid, tenant: 'acme', class: 'inbound', queue: false })
tell('acquired', acquired)
if (acquired.kind !== 'granted') process.exit(1)
const { epoch, pool } = acquired
tell('activated', await store.activate({ callSid, epoch, pod }))
const timer = setInterval(async () => {
  await store.announce(entry)
  tell('renewed', await store.renew({ pod, leases: [{ callSid, tenant: 'acme', epoch, pool }] }))
}, RENEW_EVERY_MS)

process.once('message', async () => {
  clearInterval(timer)
  const from = { callSid, fromEpoch: epoch, tenant: 'acme', pool, avoidPod: undefined, preferPod: pod }
  const moved = await store.transfer(from)
  tell('moved', moved)
  if (moved.kind === 'transferred') tell('resumed', await store.activate({ callSid, epoch: moved.epoch, pod }))
  await store.close()
  process.disconnect()
})
