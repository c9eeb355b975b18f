// The way into a stream, with its token. Rules:
// GN1: a repeated question gets the same token for GRANT_KEPT_MS, for at most GRANTS_MAX calls; another epoch or pod gets a new one.

import type { Clock } from '../kit/clock.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import type { StreamGrant } from './call-control.ts'
import type { StreamTokens } from './stream-token.ts'

/** A token used before it was repeated is refused: the carrier repeats a webhook only when it got no answer. */
const GRANT_KEPT_MS = 20_000
const GRANTS_MAX = 20_000

export class StreamGrants {
  readonly #tokens: StreamTokens
  readonly #clock: Clock
  readonly #known = new Map<CallSid, { grant: StreamGrant; epoch: number; atMs: number }>()

  constructor(tokens: StreamTokens, clock: Clock) {
    this.#tokens = tokens
    this.#clock = clock
  }

  /** The way into the stream of the call's `epoch` at `pod`. */
  to(call: { callSid: CallSid; callId: CallId; epoch: number; pod: string }): StreamGrant {
    const { callSid, callId, epoch, pod } = call
    const atMs = this.#clock.monotonicMs()
    const known = this.#known.get(callSid)
    if (known?.epoch === epoch && known.grant.pod === pod && atMs - known.atMs < GRANT_KEPT_MS) return known.grant
    const token = this.#tokens.mint({ callSid, pod, epoch, nowMs: this.#clock.wallMs() })
    const grant = { kind: 'stream' as const, callId, token, pod }
    this.#known.delete(callSid)
    this.#known.set(callSid, { grant, epoch, atMs })
    for (const [sid, { atMs: sinceMs }] of this.#known) {
      if (atMs - sinceMs < GRANT_KEPT_MS && this.#known.size <= GRANTS_MAX) break
      this.#known.delete(sid)
    }
    return grant
  }
}
