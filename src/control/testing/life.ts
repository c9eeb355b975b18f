// A pod's life for tests: it takes events, and ticks each 100 ms while it runs.
import type { CallSid } from '../../kit/ids.ts'
import {
  INITIAL_POD_LIFE,
  isReady,
  type PodEffect,
  type PodEvent,
  type PodLifeSettings,
  type PodLifeState,
  podStateOf,
  stepPodLife,
  takesWebhooks,
} from '../pod-life.ts'

export const SETTINGS: PodLifeSettings = { graceMs: 120_000, naturalMs: 20_000, arrivalsMs: 10_000, inFlightMax: 3 }
export const sid = (n: number): CallSid => `CA${n}` as CallSid
export const many = (n: number): CallSid[] => Array.from({ length: n }, (_, i) => sid(i))
type Noted = PodEffect & { atMs: number }

/** A pod that takes events; ticks each 100 ms while `run` goes. */
export class Life {
  state: PodLifeState = INITIAL_POD_LIFE
  nowMs = 0
  calls: CallSid[] = []
  all: Noted[] = []
  readonly settings: PodLifeSettings
  constructor(settings: Partial<PodLifeSettings> = {}, ...events: PodEvent[]) {
    this.settings = { ...SETTINGS, ...settings }
    for (const event of events) this.take(event)
  }
  take(event: PodEvent): PodEffect[] {
    const { state, effects } = stepPodLife(this.state, event, this.nowMs, this.settings)
    this.state = state
    this.all.push(...effects.map((effect) => ({ ...effect, atMs: this.nowMs })))
    return effects
  }
  run(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.nowMs += 100
      this.take({ kind: 'tick', calls: this.calls })
    }
  }
  lag(p99Ms: number, seconds: number): void {
    for (let i = 0; i < seconds; i += 1) {
      this.nowMs += 1_000
      this.take({ kind: 'lag', p99Ms, utilization: 0.3, calls: this.calls })
    }
  }
  of<K extends PodEffect['kind']>(kind: K): (Noted & { kind: K })[] {
    return this.all.filter((effect): effect is Noted & { kind: K } => effect.kind === kind)
  }
  get phase(): string {
    return this.state.phase.kind
  }
  /** Announced state, readiness, new calls. */
  get face(): [string, boolean, boolean] {
    return [podStateOf(this.state), isReady(this.state), takesWebhooks(this.state)]
  }
}
