// Whether a model pool is worth a dial while another one may serve. Rules:
// BK1: FAILURES failures within WINDOW_MS open it for OPEN_MS; one that no other try can mend opens it at once, for FINAL_OPEN_MS.
// BK2: then one dial is let through, and another each PROBE_MS while no outcome comes; its failure opens the breaker anew.
// BK3: a success closes it and forgets what was.
// BK4: a dial that hung opens it at once for OPEN_MS: a second one would cost its caller the whole connect time again.

export const FAILURES = 5
export const WINDOW_MS = 10_000
export const OPEN_MS = 5_000
export const FINAL_OPEN_MS = 30_000
export const PROBE_MS = 10_000

type State = { kind: 'closed'; failedAtMs: number[] } | { kind: 'open'; untilMs: number }

export class Breaker {
  #state: State = { kind: 'closed', failedAtMs: [] }

  /** Would a dial be let through at `nowMs` (monotonic)? */
  isWell(nowMs: number): boolean {
    return this.#state.kind === 'closed' || nowMs >= this.#state.untilMs
  }

  /** A dial is made now, let through or not. */
  dialled(nowMs: number): void {
    const state = this.#state
    if (state.kind === 'open' && nowMs >= state.untilMs) state.untilMs = nowMs + PROBE_MS
  }

  succeeded(): void {
    this.#state = { kind: 'closed', failedAtMs: [] }
  }

  /** `final`: another try cannot mend it (the key, the access, the model's name). `hung`: nothing had come at the bound. */
  failed(nowMs: number, how: 'final' | 'hung' | 'other'): void {
    const state = this.#state
    if (how === 'final') this.#state = { kind: 'open', untilMs: nowMs + FINAL_OPEN_MS }
    else if (state.kind === 'open') state.untilMs = nowMs + OPEN_MS
    else if (how === 'hung') this.#state = { kind: 'open', untilMs: nowMs + OPEN_MS }
    else {
      state.failedAtMs = [...state.failedAtMs.filter((atMs) => nowMs - atMs < WINDOW_MS), nowMs]
      if (state.failedAtMs.length >= FAILURES) this.#state = { kind: 'open', untilMs: nowMs + OPEN_MS }
    }
  }
}
