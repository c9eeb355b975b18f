// One delivery to the operator's receiver. Rules:
// WDL1: it bears the key `callId:type:keyNumber` (WK5): a receiver that knows the key does it once, however often it comes.
// WDL2: 2xx is done, and so is 409: it was done before. 408, 425, 429, 5xx and no answer are tried again; any other status is for good.
// WDL3: a private address is refused for good, in words that name the setting (target.ts).
// WDL4: to a receiver without keys the intent is written first. One that was intended before, or whose answer did not come, waits for a person.
import type { Clock } from '../../kit/clock.ts'
import { HttpPool, retryAfterMs } from '../analysis/http-pool.ts'
import type { WorkFailure, WorkItem, WorkResult, WorkStore } from '../ports.ts'
import { SIGNATURE_HEADER, sign } from './signature.ts'
import { namesPrivateAddress, publicLookup, REFUSED } from './target.ts'

const RETRIED = new Set([408, 425, 429])
/** Twice the room of deliveries: those that have become slow keep theirs. */
const CONNECTIONS_MAX = 128
const PRIVATE = 'the receiver has a private address: set CRM_ALLOW_PRIVATE=on if it is meant'

export type WebhookSettings = {
  url: string
  secrets: readonly string[]
  hasKeys: boolean
  mayBePrivate: boolean
  timeoutMs: number
}

export class Webhook {
  readonly #settings: WebhookSettings
  readonly #url: URL
  readonly #pool: HttpPool
  readonly #store: Pick<WorkStore, 'intend'>
  readonly #clock: Clock

  constructor(of: { settings: WebhookSettings; store: Pick<WorkStore, 'intend'>; clock: Clock }) {
    this.#settings = of.settings
    this.#url = new URL(of.settings.url)
    this.#store = of.store
    this.#clock = of.clock
    const lookup = of.settings.mayBePrivate ? {} : { lookup: publicLookup() }
    this.#pool = new HttpPool({ connectionsMax: CONNECTIONS_MAX, ...lookup })
  }

  /** Sends `event` with `body` once; never rejects but for the store. */
  async deliver(item: WorkItem, event: string, data: object, signal: AbortSignal): Promise<WorkResult | WorkFailure> {
    const { hasKeys, mayBePrivate, secrets, timeoutMs } = this.#settings
    if (!mayBePrivate && namesPrivateAddress(this.#url)) return { kind: 'dead', error: PRIVATE }
    const key = `${item.callId}:${item.type}:${item.keyNumber}`
    if (!hasKeys) {
      const intent = await this.#store.intend(item, key)
      if (intent.kind !== 'intended')
        return { kind: 'uncertain', error: 'an earlier attempt may have been delivered; the receiver knows no keys' }
    }
    const body = JSON.stringify({ event, key, data })
    const headers = {
      'idempotency-key': key,
      [SIGNATURE_HEADER]: sign(body, secrets, this.#clock.wallMs()),
      'user-agent': 'voiceplane',
    }
    const answer = await this.#pool.post(this.#url, body, { headers, timeoutMs, signal })
    if (answer.kind === 'failed') return this.#failed(answer.reason)
    const { status } = answer
    if ((status >= 200 && status < 300) || status === 409) return { kind: 'delivered', key, status }
    const error = `the receiver answers ${status}`
    if (status < 500 && !RETRIED.has(status)) return { kind: 'dead', error }
    // A refusal was read: nothing was done, but a receiver without keys has its intent written already.
    if (!hasKeys) return { kind: 'uncertain', error }
    return { kind: 'retry', error, inMs: retryAfterMs(answer.headers, this.#clock.wallMs()) }
  }

  close(): void {
    this.#pool.close()
  }

  /** [WDL3][WDL4] */
  #failed(reason: string): WorkFailure {
    if (reason === REFUSED) return { kind: 'dead', error: PRIVATE }
    const error = `the receiver: ${reason}`
    return this.#settings.hasKeys ? { kind: 'retry', error, inMs: 0 } : { kind: 'uncertain', error }
  }
}
