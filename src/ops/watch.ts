// Who watches a call: metrics, the trace, and a timeline for the one who asked. Rules in call/meter.ts.

import type { EndCause } from '../call/end-cause.ts'
import type { CallMeter, Moment } from '../call/meter.ts'
import type { CallCount, CallState } from '../call/state.ts'
import type { Clock } from '../kit/clock.ts'
import type { CallId } from '../kit/ids.ts'
import type { Metrics } from './metrics.ts'
import type { CallTrace, Traces } from './traces.ts'

/** One line of a call's timeline; `atMs` since the call was offered. */
export type TimelineEntry = { atMs: number; what: string; detail?: string }

const TOOLS_RUNNING_MAX = 32

/** Turns what a call tells into metrics, spans and timeline entries. */
export class Watch implements CallMeter {
  readonly #metrics: Metrics
  readonly #trace: CallTrace
  readonly #clock: Clock
  readonly #onEntry: ((entry: TimelineEntry) => void) | undefined
  readonly #startMs: number
  #silentSinceMs: number | undefined
  #turn: { party: 'caller' | 'agent'; startMs: number } | undefined
  /** What became of the answer that was owed since the turn began. */
  #outcome: string | undefined
  #tools = new Map<string, { tool: string; startMs: number }>()

  constructor(parts: {
    metrics: Metrics
    traces: Traces
    clock: Clock
    callId: CallId
    onEntry: ((entry: TimelineEntry) => void) | undefined
  }) {
    this.#metrics = parts.metrics
    this.#clock = parts.clock
    this.#onEntry = parts.onEntry
    this.#startMs = parts.clock.monotonicMs()
    this.#trace = parts.traces.call({ callId: parts.callId, startMs: parts.clock.wallMs() })
    this.#note('call offered')
  }

  frameReceived(): void {
    this.#metrics.frames.inbound += 1
  }

  framesSent(frames: number): void {
    this.#metrics.frames.outbound += frames
  }

  frameDropped(reason: string): void {
    this.#metrics.framesDropped.add(reason)
  }

  added(direction: 'inbound' | 'outbound', ms: number): void {
    this.#metrics.addedLatency[direction].observeMs(ms)
  }

  moment(moment: Moment): void {
    const nowMs = this.#clock.monotonicMs()
    if (moment === 'caller-silent') this.#silentSinceMs = nowMs
    if (moment === 'agent-speaking' && this.#silentSinceMs !== undefined) {
      this.#metrics.turnLatency.observeMs(nowMs - this.#silentSinceMs)
      this.#silentSinceMs = undefined
    }
    if (moment === 'caller-speaking') this.#endTurn('next', 'caller')
    else if (moment === 'agent-speaking') this.#endTurn('next', 'agent')
    this.#note(moment.replace('-', ' '))
  }

  toolStarted(toolCallId: string, tool: string): void {
    if (this.#tools.size < TOOLS_RUNNING_MAX) this.#tools.set(toolCallId, { tool, startMs: this.#clock.monotonicMs() })
    this.#note('tool called', tool)
  }

  toolEnded(toolCallId: string): void {
    const running = this.#tools.get(toolCallId)
    if (running === undefined) return
    this.#tools.delete(toolCallId)
    this.#metrics.toolTook(running.tool, this.#clock.monotonicMs() - running.startMs)
    this.#note('tool answered', running.tool)
  }

  count(what: CallCount, code: string | undefined): void {
    this.#metrics.count(what, code ?? 'unknown')
    if (what === 'turn-outcome') this.#outcome = code
    if (what !== 'turn') this.#note(what, code)
  }

  ended(cause: EndCause, state: CallState): void {
    this.#metrics.calls.add(cause)
    this.#endTurn(cause, undefined)
    this.#tools.clear()
    const attributes = { turns: state.turns, 'barge.ins': state.bargeIns }
    this.#trace.end({ endMs: this.#clock.wallMs(), outcome: cause, attributes })
    this.#note('call ended', cause)
  }

  #endTurn(ending: string, next: 'caller' | 'agent' | undefined): void {
    const nowMs = this.#clock.wallMs()
    if (this.#turn !== undefined) {
      const attributes = this.#outcome === undefined ? undefined : { 'turn.outcome': this.#outcome }
      this.#trace.turn({ ...this.#turn, endMs: nowMs, ending, ...(attributes === undefined ? {} : { attributes }) })
    }
    this.#outcome = undefined
    this.#turn = next === undefined ? undefined : { party: next, startMs: nowMs }
  }

  #note(what: string, detail?: string): void {
    if (this.#onEntry === undefined) return
    const atMs = Math.round(this.#clock.monotonicMs() - this.#startMs)
    this.#onEntry({ atMs, what, ...(detail === undefined ? {} : { detail }) })
  }
}
