// The signed stream token: one path segment that lets one media stream in. Rules:
// TK1: a token is valid only with our HMAC-SHA256 over all of it, compared in constant time, in its one canonical spelling.
// TK2: it is for one Call SID, until its expiry (wall clock: pods share it), and names pod and ownership epoch.
// TK3: it is good once: TokenUse remembers its nonce until it expires; when full it refuses, it never forgets early.
// TK4: while the secret is changed the second one is good too: pods of a rolling update take each other's tokens.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { CallSid } from '../kit/ids.ts'

const VERSION = 1
const NONCE_BYTES = 9
const MAC_BYTES = 32
const HEAD_BYTES = 1 + 6 + 4 + NONCE_BYTES // version, expiry, epoch, nonce
const TOKEN_CHARACTERS_MAX = 512 // a longer segment is refused before it is decoded
const TOKEN_USES_MAX = 50_000 // some 800 streams a second at the default time to live; beyond it tokens are refused

/** What a token says. `exp` is wall-clock milliseconds since 1970. */
export type StreamToken = { callSid: CallSid; pod: string; exp: number; nonce: string; epoch: number }

/** The outcome of checking a token; only `valid` lets the stream in (after TokenUse agreed). */
type TokenCheck = ({ kind: 'valid' } & StreamToken) | { kind: 'forged' } | { kind: 'expired' } | { kind: 'other-call' }

/** Mints tokens under the first secret, verifies them under each. */
export interface StreamTokens {
  /** A new token, at most about 220 characters of base64url. `nowMs` is wall-clock. */
  mint(of: { callSid: CallSid; pod: string; epoch: number; nowMs: number }): string
  verify(token: string, against: { callSid: string; nowMs: number }): TokenCheck
}

/** Makes the mint of this process; `ttlMs` is how long a token may wait for its stream. */
export function makeStreamTokens(options: {
  secret: string
  secondary?: string | undefined
  ttlMs: number
}): StreamTokens {
  const macOf = (payload: Buffer, secret = options.secret) => createHmac('sha256', secret).update(payload).digest()
  const secrets = options.secondary === undefined ? [options.secret] : [options.secret, options.secondary]
  const isOurs = (payload: Buffer, mac: Buffer) =>
    secrets.some((secret) => timingSafeEqual(mac, macOf(payload, secret)))
  return {
    mint({ callSid, pod, epoch, nowMs }) {
      const payload = encode({ callSid, pod, epoch, exp: Math.floor(nowMs) + options.ttlMs })
      return Buffer.concat([payload, macOf(payload)]).toString('base64url')
    },
    verify(token, { callSid, nowMs }) {
      const bytes = token.length <= TOKEN_CHARACTERS_MAX ? Buffer.from(token, 'base64url') : Buffer.alloc(0)
      if (bytes.length < HEAD_BYTES + 2 + MAC_BYTES || bytes.toString('base64url') !== token) return { kind: 'forged' }
      const payload = bytes.subarray(0, -MAC_BYTES)
      if (!isOurs(payload, bytes.subarray(-MAC_BYTES))) return { kind: 'forged' }
      const said = decode(payload)
      if (said === undefined) return { kind: 'forged' }
      if (said.exp <= nowMs) return { kind: 'expired' }
      return said.callSid === callSid ? { kind: 'valid', ...said } : { kind: 'other-call' }
    },
  }
}

function encode(of: { callSid: string; pod: string; epoch: number; exp: number }): Buffer {
  const callSid = Buffer.from(of.callSid)
  const pod = Buffer.from(of.pod)
  if (callSid.length > 255 || pod.length > 255) throw new RangeError('a Call SID or pod name over 255 bytes')
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt8(VERSION, 0)
  head.writeUIntBE(of.exp, 1, 6)
  head.writeUInt32BE(of.epoch, 7)
  randomBytes(NONCE_BYTES).copy(head, 11)
  return Buffer.concat([head, Buffer.of(callSid.length), callSid, Buffer.of(pod.length), pod])
}

function decode(payload: Buffer): StreamToken | undefined {
  if (payload[0] !== VERSION) return undefined
  const sidEnd = HEAD_BYTES + 1 + payload[HEAD_BYTES]!
  const podBytes = payload[sidEnd]
  if (podBytes === undefined || sidEnd + 1 + podBytes !== payload.length) return undefined
  return {
    callSid: payload.toString('utf8', HEAD_BYTES + 1, sidEnd) as CallSid,
    pod: payload.toString('utf8', sidEnd + 1),
    exp: payload.readUIntBE(1, 6),
    nonce: payload.toString('base64url', 11, HEAD_BYTES),
    epoch: payload.readUInt32BE(7),
  }
}

/** What came of using a token: first use, used before, or refused because the memory of used ones is full. */
type TokenTake = { kind: 'fresh' } | { kind: 'used' } | { kind: 'full' }

/** Remembers used tokens until they expire (rule TK3). */
export class TokenUse {
  readonly #expiryOf = new Map<string, number>()
  readonly #max: number

  constructor(options: { max?: number } = {}) {
    this.#max = options.max ?? TOKEN_USES_MAX
  }

  /** How many used tokens are remembered now. */
  get size(): number {
    return this.#expiryOf.size
  }

  /** Uses a verified token; `nowMs` is wall-clock. Only the first call for a nonce is `fresh`. */
  take(token: Pick<StreamToken, 'nonce' | 'exp'>, nowMs: number): TokenTake {
    if (this.#expiryOf.has(token.nonce)) return { kind: 'used' }
    this.#leaveFront(nowMs)
    if (this.#expiryOf.size >= this.#max) this.#leaveAll(nowMs)
    if (this.#expiryOf.size >= this.#max) return { kind: 'full' }
    this.#expiryOf.set(token.nonce, token.exp)
    return { kind: 'fresh' }
  }

  /** Insertion order is nearly expiry order, so the front is enough in the common case. */
  #leaveFront(nowMs: number): void {
    for (const [nonce, exp] of this.#expiryOf) {
      if (exp > nowMs) return
      this.#expiryOf.delete(nonce)
    }
  }

  #leaveAll(nowMs: number): void {
    for (const [nonce, exp] of this.#expiryOf) if (exp <= nowMs) this.#expiryOf.delete(nonce)
  }
}
