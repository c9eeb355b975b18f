// A link on its way to serve: created, configured, given the history. Rules:
// LU1: the configuration is sent once, when the session is created and the agent has said what it is.
// LU2: a renewal is held until nobody speaks, at most RENEWAL_HOLD_MS, and gets the history of that moment.
// LU3: a time of expiry is another machine's word: one that has passed, is about to, or is more than a day away is not believed, and said in the log. The
//      session's age by this machine's monotonic clock counts in any case.
import type { ModelListener } from '../../call/ports.ts'
import type { TranscriptItem } from '../../call/transcript.ts'
import type { WheelTimer } from '../../kit/wheel.ts'
import type { Link } from './link.ts'

/** The event id of the configuration: a refusal bears it. */
export const CONFIGURE_ID = 'vp-configure'
/** That of a later one, on a link that serves. */
export const RECONFIGURE_ID = 'vp-reconfigure'
export const RENEWAL_LOOK_MS = 50
const RENEWAL_HOLD_MS = 60_000
/** A session that is said to end sooner, or to last longer, is said so by a wrong clock. */
const EXPIRES_MIN_MS = 2_000
const EXPIRES_MAX_MS = 24 * 3_600_000

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

  /** The provider has made the session; `expiresAt` in seconds since 1970, when it says so. [LU3] */
  created(expiresAt: unknown, nowMs: number): 'taken' | 'implausible' | 'unsaid' {
    this.#isCreated = true
    if (typeof expiresAt !== 'number') return 'unsaid'
    const expiresInMs = expiresAt * 1000 - nowMs
    if (!(expiresInMs >= EXPIRES_MIN_MS && expiresInMs <= EXPIRES_MAX_MS)) return 'implausible'
    this.expiresInMs = expiresInMs
    return 'taken'
  }

  /** LU1. */
  configure(configuration: Configuration | undefined): void {
    if (!this.#isCreated || this.configured !== undefined || configuration === undefined) return
    this.configured = configuration
    this.link.send({ type: 'session.update', event_id: CONFIGURE_ID, session: configuration.wire })
  }

  /** The configuration without what was refused (RFF1). */
  configureAgain(configuration: Configuration | undefined): void {
    this.configured = undefined
    this.configure(configuration)
  }

  /** What the link is told of the call; undefined while a renewal has to wait (LU2). Asked each RENEWAL_LOOK_MS. */
  historyNow(listener: ModelListener): readonly TranscriptItem[] | undefined {
    const now = listener.history?.() ?? this.history
    if (!this.isRenewal || listener.renewalMoment === undefined) return now
    this.#heldMs += RENEWAL_LOOK_MS
    return listener.renewalMoment() ?? (this.#heldMs > RENEWAL_HOLD_MS ? now : undefined)
  }
}
