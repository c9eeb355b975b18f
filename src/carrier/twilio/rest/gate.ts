// How many may be at work at once, and how many may wait for it. Rules:
// GT1: at most `activeMax` work; a further one waits in order; beyond `waitingMax` it is refused at once.
// GT2: a closed gate refuses those who wait; those at work finish.

export class Gate {
  readonly #activeMax: number
  readonly #waitingMax: number
  readonly #waiting: ((isOpen: boolean) => void)[] = []
  #active = 0
  #isClosed = false

  constructor(bounds: { activeMax: number; waitingMax: number }) {
    this.#activeMax = bounds.activeMax
    this.#waitingMax = bounds.waitingMax
  }

  get active(): number {
    return this.#active
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs `work` when there is room; undefined when it was refused. */
  async pass<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (!(await this.#enter())) return undefined
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  close(): void {
    this.#isClosed = true
    for (const tell of this.#waiting.splice(0)) tell(false)
  }

  #enter(): Promise<boolean> | boolean {
    if (this.#isClosed) return false
    if (this.#active < this.#activeMax) {
      this.#active += 1
      return true
    }
    if (this.#waiting.length >= this.#waitingMax) return false
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** The place goes to the one who waits longest, without becoming free between. */
  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#active -= 1
    else next(true)
  }
}
