// The seam between the engine and what an item of work does.
import type { WorkFailure, WorkItem, WorkResult, WorkType } from './ports.ts'

/** One type of work. */
export interface Job {
  readonly type: WorkType
  /**
   * Does the work of `item`. May be run again after a crash, under the next attempt and the same version. `signal` aborts when the
   * item is no longer held or took too long. `inMs` of a retry is the least wait (0: the engine's back-off alone decides). A throw counts as a retry.
   */
  run(item: WorkItem, tools: { signal: AbortSignal }): Promise<WorkResult | WorkFailure>
}
