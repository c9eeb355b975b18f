// What a call tells those who watch it: counts, moments of a turn, its end. Rules:
// MT1: a meter never throws and never waits; it is not asked anything.
import type { EndCause } from './end-cause.ts'
import type { CallCount, CallState } from './state.ts'

/** The moments of a call that a timeline or a trace shows. */
export type Moment = 'stream-open' | 'model-ready' | 'caller-speaking' | 'caller-silent' | 'agent-speaking'

export interface CallMeter {
  frameReceived(): void
  framesSent(frames: number): void
  frameDropped(reason: 'early' | 'out-of-order' | 'after-barge-in' | 'playout-full'): void
  /** Time that a piece of audio spent from being read to being written, in ms; sampled. */
  added(direction: 'inbound' | 'outbound', ms: number): void
  moment(moment: Moment): void
  toolStarted(toolCallId: string, tool: string): void
  toolEnded(toolCallId: string): void
  count(what: CallCount, code: string | undefined): void
  ended(cause: EndCause, state: CallState): void
}
