// A link on its way to serve: created, configured, given the history. Rules:
// LU1: the configuration is sent once, when the session is created and the agent has said what it is.
// LU2: a renewal is held until nobody speaks, at most RENEWAL_HOLD_MS, and gets the history of that moment.
import type { ModelListener } from '../../call/ports.ts'
import type { TranscriptItem } from '../../call/transcript.ts'
import type { WheelTimer } from '../../kit/wheel.ts'
import type { Link } from './link.ts'

/** The event id of the configuration: a refusal bears it. */
export const CONFIGURE_ID = 'vp-configure'
export const RENEWAL_LOOK_MS = 50
export const RENEWAL_HOLD_MS = 60_000

/** `wire` is what a link begins with; `of`: the agent's configuration it was made of. */
export type Configuration = { of: Record<string, unknown>; wire: Record<string, unknown> }

export class LinkSetup {
  readonly link: Link
  readonly isRenewal: boolean
  readonly history: readonly TranscriptItem[]
  timer: WheelTimer
  /** The configuration that was sent. */
  configured: Configuration | undefined
  expiresInMs: number | undefined
  #isCreated = false
  #heldMs = 0

  constructor(link: Link, of: { isRenewal: boolean; history: readonly TranscriptItem[]; timer: WheelTimer }) {
    this.link = link
    this.isRenewal = of.isRenewal
    this.history = of.history
    this.timer = of.timer
  }

  /** The provider has made the session; `expiresAt` in seconds since 1970, when it says so. */
  created(expiresAt: unknown, nowMs: number): void {
    this.#isCreated = true
    if (typeof expiresAt === 'number') this.expiresInMs = expiresAt * 1000 - nowMs
  }

  /** LU1. */
  configure(configuration: Configuration | undefined): void {
    if (!this.#isCreated || this.configured !== undefined || configuration === undefined) return
    this.configured = configuration
    this.link.send({ type: 'session.update', event_id: CONFIGURE_ID, session: configuration.wire })
  }

  /** What the link is told of the call; undefined while a renewal has to wait (LU2). Asked each RENEWAL_LOOK_MS. */
  historyNow(listener: ModelListener): readonly TranscriptItem[] | undefined {
    if (!this.isRenewal || listener.renewalMoment === undefined) return this.history
    this.#heldMs += RENEWAL_LOOK_MS
    return listener.renewalMoment() ?? (this.#heldMs > RENEWAL_HOLD_MS ? this.history : undefined)
  }
}
