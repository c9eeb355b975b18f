// A pending call: one that this pod does not hold yet. It was offered, was moved here, or is being made. Rules:
// CO1: a call belongs to this pod from its offer on: a drain waits for it, and an end that is told reaches it.
// CO2: a pending call that ends is answered at once and gives its place back. Nothing is dialled for it, and its agent is closed when it
//      is made.
// CO3: an agent that is not made within OPEN_MAX_MS is given up.

/** Less than what a webhook waits for call control: the call is given up before its caller hears an apology. */
export const OPEN_MAX_MS = 7_500

/**
 * How a pending call ended. `closed`: this pod takes none any more. `elsewhere`: its stream is at another pod. `failed`: its agent was not
 * made, or not in time.
 */
export type PendingEnd =
  | { kind: 'over'; cause: 'caller-hung-up' | 'carrier-lost' }
  | { kind: 'closed' | 'elsewhere' }
  | { kind: 'failed'; error: unknown }

export class PendingCall {
  readonly #ended = Promise.withResolvers<PendingEnd>()
  #end: PendingEnd | undefined
  readonly #onEnd: ((end: PendingEnd) => void)[] = []

  /** How it ended; undefined while it is pending. */
  get ending(): PendingEnd | undefined {
    return this.#end
  }

  /** Ends it; a second end changes nothing. */
  end(end: PendingEnd): void {
    if (this.#end !== undefined) return
    this.#end = end
    this.#ended.resolve(end)
    for (const run of this.#onEnd) run(end)
  }

  /** Runs `run` at its end, beside what was asked for before; at once when it has ended. */
  onEnd(run: (end: PendingEnd) => void): void {
    if (this.#end === undefined) this.#onEnd.push(run)
    else run(this.#end)
  }

  /** The outcome of `work`, or `ended` of the call's end when that is first; then the outcome of `work` is ignored. */
  async race<T>(work: Promise<T>, ended: (end: PendingEnd) => T): Promise<T> {
    work.catch(() => undefined)
    return Promise.race([work, this.#ended.promise.then(ended)])
  }
}
