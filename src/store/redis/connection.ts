// One connection to Redis for short commands. Rules:
// RCN1: a command is sent once: it is not queued while Redis is away and not repeated after a loss.
// RCN2: it is answered within timeoutMs, or rejects with STORE_UNAVAILABLE; so it does at once while Redis is away, while more than
//      IN_FLIGHT_MAX wait, and when Redis says that it cannot serve now. What else Redis says is a bug and is thrown as it is.
// RCN3: a lost connection is dialled again for ever, after BACKOFF_MIN_MS doubling to BACKOFF_MAX_MS, with jitter; one that is
//      silent for SILENT_MAX_MS though something was asked counts as lost.
// RCN5: an answer that says "this server is not the one to write to" (a replica after a fail-over, a server that loads, a cluster that moved)
//      ends the connection, also while preparing: a new one resolves the address again, at once and then with the same back-off.
// RCN4: nothing but `prepare` is sent before `prepare` has succeeded on this connection; when it fails it is tried again after the
//      same back-off. An answer that says the store has lost what was prepared leads to `prepare` again.
import { Redis } from 'ioredis'
import { messageOf, VoiceError } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'

const IN_FLIGHT_MAX = 10_000
const BACKOFF_MIN_MS = 50
const BACKOFF_MAX_MS = 2_000
const SILENT_MAX_MS = 2_000
const CONNECT_MAX_MS = 2_000

/** Begins of errors by which Redis says that it cannot serve now. */
const AWAY =
  /^(LOADING|READONLY|MASTERDOWN|BUSY|OOM|NOREPLICAS|MISCONF|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|NOAUTH|WRONGPASS|UNKILLABLE)\b/
/** Of these, the ones that another server may answer otherwise: an address that was moved still leads to the old one here. [RCN5] */
const WRONG_SERVER = /^(READONLY|MASTERDOWN|LOADING|MOVED|ASK|CLUSTERDOWN|NOREPLICAS)\b|read-?only replica/
/** It has lost what `prepare` brought. */
const UNPREPARED = /^VPINIT\b|^ERR Function not found/

type ConnectionOptions = {
  /** `redis://[user:password@]host:port[/db]` or `rediss://`. */
  url: string
  timeoutMs: number
  log: Log
  /** Brings what commands need; it sends by the `send` it is given. */
  prepare: (send: Send) => Promise<void>
}
export type Send = (command: string, args: readonly (string | number)[]) => Promise<unknown>

export class RedisConnection {
  readonly #client: Redis
  readonly #options: ConnectionOptions
  #isPrepared = false
  #isPreparing = false
  #isClosed = false
  #inFlight = 0
  #attempts = 0
  #retry: NodeJS.Timeout | undefined
  /** Called once each time the connection becomes usable, or fails to. */
  #onSettled: () => void = () => {}

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#client = new Redis(options.url, {
      protocol: 2,
      disableClientInfo: true,
      lazyConnect: true,
      commandTimeout: options.timeoutMs,
      connectTimeout: CONNECT_MAX_MS,
      socketTimeout: SILENT_MAX_MS,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => backoffMs(times),
    })
    this.#client.on('ready', () => void this.#prepare())
    this.#client.on('close', () => this.#lose())
    this.#client.on('error', (error) =>
      this.#options.log.debug({ reason: messageOf(error) }, 'redis connection failed'),
    )
  }

  /** Dials, and waits at most `waitMs` for the first success or failure; never rejects. */
  async open(waitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const bound = setTimeout(resolve, waitMs)
      this.#onSettled = () => {
        clearTimeout(bound)
        resolve()
      }
      this.#client.connect().catch(() => {}) // `close` follows, and the next dial
    })
    this.#onSettled = () => {}
  }

  get isPrepared(): boolean {
    return this.#isPrepared
  }

  /** [RCN1][RCN2] */
  async send(command: string, args: readonly (string | number)[]): Promise<unknown> {
    if (!this.#isPrepared) throw away('redis is not connected')
    if (this.#inFlight >= IN_FLIGHT_MAX) throw away('too many commands wait for redis')
    this.#inFlight += 1
    try {
      return await this.#client.call(command, [...args])
    } catch (error) {
      throw this.#explain(error)
    } finally {
      this.#inFlight -= 1
    }
  }

  /** Ends it for good; harmless when repeated. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isPrepared = false
    clearTimeout(this.#retry)
    this.#client.disconnect()
  }

  /** [RCN4] */
  async #prepare(): Promise<void> {
    if (this.#isPreparing || this.#isClosed || this.#client.status !== 'ready') return
    this.#isPreparing = true
    this.#isPrepared = false
    clearTimeout(this.#retry)
    try {
      await this.#options.prepare((command, args) => this.#client.call(command, [...args]))
      this.#isPrepared = this.#client.status === 'ready' && !this.#isClosed
      if (this.#isPrepared && this.#attempts > 0) this.#options.log.info({}, 'redis is there again')
      this.#attempts = 0
    } catch (error) {
      this.#attempts += 1
      const reason = messageOf(error)
      this.#options.log.warn({ code: 'STORE_UNAVAILABLE', reason }, 'redis could not be prepared')
      const again = WRONG_SERVER.test(reason) ? () => this.#redial() : () => void this.#prepare()
      if (!this.#isClosed) this.#retry = setTimeout(again, backoffMs(this.#attempts)).unref()
    } finally {
      this.#isPreparing = false
      this.#onSettled()
    }
  }

  #lose(): void {
    const isNews = !this.#isClosed && (this.#isPrepared || this.#attempts === 0)
    if (isNews) this.#options.log.warn({ code: 'STORE_UNAVAILABLE' }, 'redis cannot be reached')
    this.#isPrepared = false
    this.#attempts += 1
    this.#onSettled()
  }

  /** [RCN5] `close` follows, and the next dial. */
  #redial(): void {
    if (!this.#isClosed && this.#client.status === 'ready') this.#client.disconnect(true)
  }

  #explain(error: unknown): unknown {
    const reason = messageOf(error)
    const isReply = error instanceof Error && error.name === 'ReplyError'
    if (isReply && UNPREPARED.test(reason)) {
      this.#isPrepared = false
      void this.#prepare()
      return away(reason, error)
    }
    if (isReply && WRONG_SERVER.test(reason)) {
      // Many commands are told so at once; the first of them ends the connection.
      if (this.#isPrepared) {
        this.#options.log.warn({ code: 'STORE_UNAVAILABLE', reason }, 'redis is not the one to write to any more')
        this.#isPrepared = false
        this.#redial()
      }
      return away(reason, error)
    }
    return isReply && !AWAY.test(reason) ? error : away(reason, error)
  }
}

function away(reason: string, cause?: unknown): VoiceError {
  return new VoiceError('STORE_UNAVAILABLE', { message: reason, retryable: true, cause })
}

/** Half of it is chance, so that a fleet does not come back all at once. */
function backoffMs(attempt: number): number {
  const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 10))
  return Math.round(most * (0.5 + Math.random() / 2))
}
