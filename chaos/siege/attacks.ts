// What strangers do to a pod's port: requests without a right signature, in the ways that cost most. Rules:
// AT1: none of them has a secret: whoever answers one with 2xx or 101 has let a stranger in.
// AT2: each attack goes on for as long as it is told, and holds what it may hold: what the plane ends is begun anew.
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export const ATTACKS = ['S2', 'S3', 'S4', 'S5', 'S6', 'S10', 'forged', 'no-host', 'expect'] as const
export type Attack = (typeof ATTACKS)[number]

/** Where to: the address of the outside, and for S10 that of the pod itself. */
export type Target = { url: string; podUrl: string; from: string; seconds: number }

/** What became of the requests: by status, or cut without one. */
export type Seen = { begun: number; statuses: Record<string, number>; livedMsMax: number }

const FORM = 'Content-Type: application/x-www-form-urlencoded'
const FORGED = 'X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA='
const SLOW_CONNECTIONS = 500
/** As much as a pod reads at all; and more. */
const SLOW_BODY_BYTES = 16_000
const LONG_BODY_BYTES = 17_000
const SLOW_BYTE_MS = 1_500
const LONG_CONNECTIONS = 1_000
const UPGRADES_PER_SECOND = 100
const FIELDS = 16_000
const FORMS_PER_SECOND = 12
const UNSIGNED_PER_SECOND = 100
const PEER_CONNECTIONS = 60
const PEER_BODY_BYTES = 4_194_304
const FORGED_PER_SECOND = 40
/** Of requests that Node answers by itself, so many behind one another on each connection. */
const PIPELINE_CONNECTIONS = 20
const PIPELINED = 500
/** Between two looks at how many are held. */
const LOOK_MS = 100
/** A pause after a refused one, so that the attacker is not the load. */
const BETWEEN_MS = 250

/** Runs one attack to its end. */
export async function attack(kind: Attack, target: Target): Promise<Seen> {
  const seen: Seen = { begun: 0, statuses: {}, livedMsMax: 0 }
  const { url, podUrl } = target
  switch (kind) {
    case 'S2':
      await hold(target, SLOW_CONNECTIONS, seen, () => ({
        to: url,
        text: post('/twilio/status', [FORM, FORGED], SLOW_BODY_BYTES),
      }))
      break
    case 'S3':
      await hold(target, LONG_CONNECTIONS, seen, (n) => ({
        to: url,
        text: post('/twilio/status', [FORM, FORGED], n % 2 === 0 ? LONG_BODY_BYTES : SLOW_BODY_BYTES),
        everyMs: SLOW_BYTE_MS,
      }))
      break
    case 'S4':
      await send(target, UPGRADES_PER_SECOND, seen, () => ({ to: url, text: UPGRADE, after: 'x' }))
      break
    case 'S5':
      await send(target, FORMS_PER_SECOND, seen, (n) => ({ to: url, text: form(n % 2 === 0 ? FIELDS : 200) }))
      break
    case 'S6':
      await send(target, UNSIGNED_PER_SECOND, seen, () => ({ to: url, text: post('/twilio/voice', [FORM], 1) }))
      break
    case 'S10':
      await hold(target, PEER_CONNECTIONS, seen, () => ({
        to: podUrl,
        text: post('/internal/expect', ['Content-Type: application/json', 'X-Voice-Peer: 1.a.b'], PEER_BODY_BYTES),
        isWhole: true,
      }))
      break
    case 'no-host':
    case 'expect':
      await hold(target, PIPELINE_CONNECTIONS, seen, () => ({ to: url, text: ANSWERED_BY_NODE[kind] }))
      break
    default:
      await send(target, FORGED_PER_SECOND, seen, (n) => ({ to: url, text: FORGERIES[n % FORGERIES.length]! }))
  }
  return seen
}

type Stranger = {
  to: string
  text: string
  /** Sent when the answer has come; then the connection is closed. */
  after?: string
  /** A byte more each so many ms. */
  everyMs?: number
  /** The whole body is sent as fast as it is taken. */
  isWhole?: boolean
}

/** [AT2] Keeps `count` connections open. */
async function hold(target: Target, count: number, seen: Seen, next: (n: number) => Stranger): Promise<void> {
  const held = new Set<Socket>()
  const untilMs = performance.now() + target.seconds * 1_000
  const refill = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      if (held.size < count) {
        const socket = begin(target, next(seen.begun), seen)
        held.add(socket)
        socket.once('close', () => setTimeout(() => held.delete(socket), BETWEEN_MS))
        if (seen.begun % 50 === 0) await sleep(1)
      } else await sleep(LOOK_MS)
    }
  }
  await refill()
  for (const socket of held) socket.destroy()
}

/** So many each second, each to its end. */
async function send(target: Target, perSecond: number, seen: Seen, next: (n: number) => Stranger): Promise<void> {
  const beganMs = performance.now()
  const sockets = new Set<Socket>()
  for (let n = 0; performance.now() - beganMs < target.seconds * 1_000; n++) {
    const dueMs = beganMs + (n * 1_000) / perSecond
    await sleep(Math.max(0, dueMs - performance.now()))
    const socket = begin(target, next(n), seen)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  await sleep(1_000)
  for (const socket of sockets) socket.destroy()
}

function begin({ from }: Target, stranger: Stranger, seen: Seen): Socket {
  const { hostname, port } = new URL(stranger.to)
  const beganMs = performance.now()
  const socket = connect({
    host: hostname,
    port: Number(port),
    localAddress: from,
    allowHalfOpen: stranger.after !== undefined,
  })
  let answer = ''
  let isAnswered = false
  seen.begun += 1
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    if (isAnswered) return
    answer += chunk.toString('latin1')
    if (!answer.includes('\r\n')) return
    isAnswered = true
    count(seen, answer.slice(9, 12))
    if (stranger.after === undefined) socket.end()
    else socket.end(stranger.after, () => socket.destroySoon())
  })
  const timer = stranger.everyMs === undefined ? undefined : setInterval(() => socket.write('x'), stranger.everyMs)
  socket.on('close', () => {
    clearInterval(timer)
    seen.livedMsMax = Math.max(seen.livedMsMax, Math.round(performance.now() - beganMs))
    if (!isAnswered) count(seen, 'cut')
  })
  socket.write(stranger.text)
  if (stranger.isWhole === true) socket.write(BODY)
  return socket
}

function count(seen: Seen, status: string): void {
  seen.statuses[status] = (seen.statuses[status] ?? 0) + 1
}

const BODY = Buffer.alloc(PEER_BODY_BYTES, 0x20)

function post(path: string, lines: readonly string[], bytes: number, body = 'C'): string {
  return `${[`POST ${path} HTTP/1.1`, 'Host: x', ...lines, `Content-Length: ${bytes}`].join('\r\n')}\r\n\r\n${body}`
}

function form(fields: number): string {
  const body = Array.from({ length: fields }, (_, i) => `${i.toString(36)}=`).join('&')
  return post('/twilio/voice', [FORM, FORGED], Buffer.byteLength(body), body)
}

const UPGRADE = 'GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'
const SID = `CA${'0'.repeat(32)}`
const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
const FIELDS_OF_CALL = `CallSid=${SID}&CallStatus=completed&From=%2B15005550006&To=%2B15550100000`
const FORGERIES = [
  post('/twilio/voice', [FORM, FORGED], FIELDS_OF_CALL.length, FIELDS_OF_CALL),
  post('/twilio/next', [FORM, FORGED], FIELDS_OF_CALL.length, FIELDS_OF_CALL),
  post('/twilio/status', [FORM, 'X-Twilio-Signature: x'], FIELDS_OF_CALL.length, FIELDS_OF_CALL),
  `GET /media/pod-1/${SID}/${'a'.repeat(120)} HTTP/1.1\r\nHost: x\r\n${FORGED}\r\n${WEBSOCKET}\r\n`,
  'GET /twilio/voice HTTP/1.1\r\nHost: x\r\n\r\n',
  'NONSENSE\r\n\r\n',
]
/** Without a Host, or with an expectation that nobody knows (P62). */
const ANSWERED_BY_NODE = {
  'no-host': 'GET /twilio/voice HTTP/1.1\r\n\r\n'.repeat(PIPELINED),
  expect: 'GET /twilio/voice HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n'.repeat(PIPELINED),
}
