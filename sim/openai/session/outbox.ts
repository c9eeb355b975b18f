// The way out of a session. Rules:
// O1: events leave in the order they were given, each as one text message, at once unless a fault holds them.
// O2: while held, at most HELD_MAX events wait; the session is cut beyond it.
// O3: a client that does not read, so that UNSENT_BYTES_MAX pile up, is cut.
// O4: events of one tick leave in one write.
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { nowMs } from '../kit/clock.ts'
import type { Waiting, Wheel } from '../kit/wheel.ts'

const HELD_MAX = 4_000
const UNSENT_BYTES_MAX = 8_000_000
const NO_COMPRESS = { binary: false, compress: false }

type Held = { dueMs: number; text: string; beforeSend: (() => void) | undefined }

export class Outbox {
  readonly #socket: WebSocket
  readonly #stream: Duplex
  readonly #wheel: Wheel
  readonly #onOverflow: (why: string) => void
  readonly #held: Held[] = []
  #timer: Waiting | undefined
  #stalledUntilMs = 0
  #isCorked = false
  /** Delay of every event, ms; a standing fault. */
  slowMs = 0

  constructor(options: { socket: WebSocket; stream: Duplex; wheel: Wheel; onOverflow: (why: string) => void }) {
    this.#socket = options.socket
    this.#stream = options.stream
    this.#wheel = options.wheel
    this.#onOverflow = options.onOverflow
  }

  /** Sends `text`; `beforeSend` runs right before it is written. */
  send(text: string, beforeSend?: () => void): void {
    if (this.#held.length === 0 && this.slowMs === 0 && this.#stalledUntilMs === 0) {
      this.#write(text, beforeSend)
      return
    }
    if (this.#held.length >= HELD_MAX) {
      this.#onOverflow('held events')
      return
    }
    this.#held.push({ dueMs: Math.max(nowMs() + this.slowMs, this.#stalledUntilMs), text, beforeSend })
    this.#timer ??= this.#wheel.after(this.#held[0]!.dueMs - nowMs(), () => this.#release())
  }

  /** Holds everything for `ms`. */
  stall(ms: number): void {
    this.#stalledUntilMs = nowMs() + ms
    for (const held of this.#held) held.dueMs = Math.max(held.dueMs, this.#stalledUntilMs)
    this.#wheel.cancel(this.#timer)
    this.#timer = this.#wheel.after(ms, () => this.#release())
  }

  /** Forgets what is held. */
  close(): void {
    this.#wheel.cancel(this.#timer)
    this.#timer = undefined
    this.#held.length = 0
  }

  #release(): void {
    this.#timer = undefined
    const now = nowMs()
    if (now >= this.#stalledUntilMs) this.#stalledUntilMs = 0
    while (this.#held.length > 0 && this.#held[0]!.dueMs <= now) {
      const held = this.#held.shift()!
      this.#write(held.text, held.beforeSend)
    }
    const first = this.#held[0]
    if (first !== undefined) this.#timer = this.#wheel.after(first.dueMs - now, () => this.#release())
  }

  #write(text: string, beforeSend: (() => void) | undefined): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    if (this.#socket.bufferedAmount > UNSENT_BYTES_MAX) {
      this.#onOverflow('unread bytes')
      return
    }
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#stream.cork()
      process.nextTick(() => {
        this.#isCorked = false
        this.#stream.uncork()
      })
    }
    beforeSend?.()
    this.#socket.send(text, NO_COMPRESS)
  }
}
