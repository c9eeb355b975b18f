// What a run did to its fleet, and when. Rules:
// FL1: a fault is stamped before it is done, so that a gap measured from it is never too short.
import { appendFileSync } from 'node:fs'
import { nowUs } from '../../load/messages.ts'
import type { WitnessLine } from '../../load/report/witness.ts'

type FaultKind = 'kill' | 'stop' | 'continue' | 'term' | 'restart' | 'store' | 'model' | 'load' | 'attack'
export type Fault = { atUs: number; kind: FaultKind; pod: string; detail: string }

/** Appends faults to the run's log. */
export class FaultLog {
  readonly faults: Fault[] = []
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  /** [FL1] Writes a fault down as happening now. */
  note(kind: FaultKind, pod = '', detail = ''): Fault {
    const fault: Fault = { atUs: nowUs(), kind, pod, detail }
    this.faults.push(fault)
    appendFileSync(this.#file, `${JSON.stringify({ t: fault.atUs, event: kind, pod, detail })}\n`)
    return fault
  }
}

/** The faults of a log. */
export function readFaults(lines: readonly WitnessLine[]): Fault[] {
  return lines.map((line) => ({
    atUs: line.t,
    kind: line.event as FaultKind,
    pod: String(line.pod ?? ''),
    detail: String(line.detail ?? ''),
  }))
}
