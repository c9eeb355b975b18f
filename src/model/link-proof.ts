// Does a link that says nothing still live? Rules:
// PF1: the caller seems loud and for QUIET_MS no event came: the link is asked a question that must be answered. Any event in
//      ANSWER_MS proves that it lives; a link that proves it is never given up, however loud the line is.
// PF2: no event of any kind: the link is stalled, once. Before that it is looked at once more (LOOK_AGAIN_MS): a process that was
//      itself asleep reads its sockets first.
// PF3: one question at a time, so at most one in QUIET_MS + ANSWER_MS (3 s); a quiet line asks nothing and holds no timer.
// PF4: a link is asked once when it begins to serve. Until a question of it was answered, a silence proves nothing and the link is
//      not given up here: a provider may not know the question. That is told once, when it would have mattered.
import type { Wheel, WheelTimer } from '../kit/wheel.ts'

export const QUIET_MS = 1_500
export const ANSWER_MS = 1_500
export const LOOK_AGAIN_MS = 100

/**
 * The link: `ask` sends it a question that a provider that lives must answer; `onStalled` is told once that it did not. `onNoProof`: told once
 * that this provider answers no such question.
 */
interface Proven {
  ask(): void
  onStalled(): void
  onNoProof(): void
}

export class LinkProof {
  readonly #wheel: Wheel
  readonly #link: Proven
  #timer: WheelTimer | undefined
  /** Events that came until now. */
  #received = 0
  /** A question of this link was answered (PF4). */
  #isProvable = false
  #isNoProofTold = false
  /** How many had come when the caller last seemed loud. */
  #receivedAtLoud = -1

  constructor(wheel: Wheel, link: Proven) {
    this.#wheel = wheel
    this.#link = link
  }

  /** The link begins to serve. */
  begin(): void {
    this.#link.ask()
  }

  /** A question was answered. */
  answered(): void {
    this.#isProvable = true
  }

  /** Something came from the provider. */
  received(): void {
    this.#received += 1
  }

  /** The caller seems to speak: the provider should say something soon. */
  callerSeemsLoud(): void {
    this.#receivedAtLoud = this.#received
    if (this.#timer === undefined) this.#await(QUIET_MS, () => this.#probe())
  }

  close(): void {
    this.#wheel.cancel(this.#timer)
    this.#timer = undefined
  }

  #probe(): void {
    if (!this.#isProvable) {
      if (!this.#isNoProofTold) this.#link.onNoProof()
      this.#isNoProofTold = true
      return
    }
    this.#await(ANSWER_MS, () => this.#await(LOOK_AGAIN_MS, () => this.#link.onStalled()))
    this.#link.ask()
  }

  /** Waits for an event for `ms`, and if none comes does `otherwise`. */
  #await(ms: number, otherwise: () => void): void {
    const before = this.#received
    this.#timer = this.#wheel.after(ms, () => {
      this.#timer = undefined
      if (this.#received === before) otherwise()
      // The caller was loud after the last event, too: that question is still open.
      else if (this.#receivedAtLoud === this.#received) this.#await(QUIET_MS, () => this.#probe())
    })
  }
}
