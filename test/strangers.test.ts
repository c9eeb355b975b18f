// Strangers at the pod's port: they may be many and slow, and those who show a signature notice nothing.
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { UNAUTHENTICATED_MAX } from '../src/kit/unauthenticated.ts'
import { LISTEN, Plane, stay } from './plane.ts'
import { newCallSid, sign } from './raw-carrier.ts'

/** What listener.ts states (LIS1): 5 s, and half a second until it is seen; the rest is for a busy machine. */
const REQUEST_ENDS_MS = 5_500
const SLACK_MS = 4_000

let plane: Plane
before(async () => {
  plane = await Plane.open()
})
after(() => plane.close())

type Slow = { livedMs: number | undefined; socket: Socket }

/** Sends `head`, then a byte each `everyMs`, and notes how long it is let live. */
function beSlow(head: string, everyMs: number): Slow {
  const { hostname, port } = new URL(plane.edge.url)
  const socket = connect(Number(port), hostname)
  const beganMs = performance.now()
  const slow: Slow = { livedMs: undefined, socket }
  const timer = setInterval(() => socket.write('x'), everyMs)
  socket.on('error', () => {})
  socket.resume()
  socket.on('close', () => {
    clearInterval(timer)
    slow.livedMs = performance.now() - beganMs
  })
  socket.write(head)
  return slow
}

const head = (lines: string[]): string => `${['POST /twilio/status HTTP/1.1', 'Host: x', ...lines].join('\r\n')}`
const FORM = 'Content-Type: application/x-www-form-urlencoded'
const FORGED = 'X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA='
const KINDS: [string, string][] = [
  ['a body that does not come', `${head([FORM, FORGED, 'Content-Length: 16000'])}\r\n\r\nC`],
  ['a body without an end', `${head([FORM, FORGED, 'Transfer-Encoding: chunked'])}\r\n\r\n8000\r\nC`],
  ['a head without an end', head([FORM, FORGED, 'X-More: '])],
  ['nothing but a connection', ''],
  ['a body of a peer', head(['Content-Type: application/json']).replace('twilio/status', 'internal/expect')],
]

/** One signed webhook, as quick as the carrier sends it. */
async function signedWebhook(): Promise<number> {
  const url = `${plane.edge.url}/twilio/status`
  const body = { CallSid: newCallSid(), CallStatus: 'ringing' }
  const headers = { 'x-twilio-signature': sign(url, body) }
  const init = { method: 'POST', headers, body: new URLSearchParams(body), signal: AbortSignal.timeout(10_000) }
  const answer = await fetch(url, init)
  await answer.text()
  return answer.status
}

test('[SAFE-1][S2] [LIS1] [UNA2] slow strangers end at the stated bound, signed webhooks are all answered, and a call goes on', async () => {
  const talking = plane.carrier.placeCall({ caller: stay(8_000) })
  await plane.until(() => plane.calls().length > 0)
  const slow: [string, Slow][] = []
  for (let i = 0; i < UNAUTHENTICATED_MAX + 400; i++) {
    const [what, text] = KINDS[i % KINDS.length]!
    slow.push([what, beSlow(text, 1_000)])
  }
  const statuses: number[] = []
  const untilMs = performance.now() + REQUEST_ENDS_MS + SLACK_MS
  while (slow.some(([, { livedMs }]) => livedMs === undefined) && performance.now() < untilMs) {
    statuses.push(await signedWebhook())
    await sleep(20)
  }
  for (const [what, { livedMs }] of slow) assert.ok(livedMs !== undefined && livedMs < REQUEST_ENDS_MS + SLACK_MS, what)
  assert.ok(statuses.length > 20)
  assert.deepEqual([...new Set(statuses)], [200])
  assert.ok((await plane.counter('voice_unauthenticated_ended_total')) >= 100)
  const report = await talking.done
  assert.deepEqual([report.wasDropped, report.endCause], [false, 'caller-hung-up'])
  const next = await plane.call(LISTEN)
  assert.equal(next.wasDropped, false)
})

test('[SAFE-1][S2] [UNA2] more strangers a second than there are places: those who show a signature pass all the same', async () => {
  let isOver = false
  const flood = (async () => {
    while (!isOver) {
      const many = Array.from({ length: 100 }, (_, i) => beSlow(KINDS[i % 2]![1], 1_000))
      await sleep(20)
      setTimeout(() => many.forEach(({ socket }) => void socket.destroy()), 400)
    }
  })()
  const statuses: number[] = []
  for (let n = 0; n < 100; n++) statuses.push(await signedWebhook())
  isOver = true
  await flood
  assert.deepEqual([...new Set(statuses)], [200])
  await sleep(500)
})
