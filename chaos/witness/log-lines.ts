// The witness logs of one run, by their names in its folder. Rules:
// WL1: `callers-*/carrier-*.jsonl` the callers, `model*.jsonl` the model simulator, `sink.jsonl` the effects, `pod-*.jsonl` the pods' own
//      history, `records.jsonl` the records as they stand at the end, `faults.jsonl` what was done to the fleet. Times are monotonic µs of one machine.
// WL2: a broken last line (its writer was killed) is counted and skipped.
// WL3: at most LINES_MAX lines are kept of one run; more is an error, never a silent cut.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readWitness, type WitnessLine } from '../../load/report/witness.ts'

const LINES_MAX = 5_000_000
/** Lines that no check reads and that are most of the log. */
const UNREAD = new Set(['probe', 'mark-played', 'clear-received', 'frames_lost', 'frames_extra'])

export type LogLines = {
  carrier: WitnessLine[]
  model: WitnessLine[]
  sink: WitnessLine[]
  pods: WitnessLine[]
  records: WitnessLine[]
  faults: WitnessLine[]
  brokenLines: number
}

type Kind = Exclude<keyof LogLines, 'brokenLines'>

function kindOf(file: string): Kind | undefined {
  if (/^callers-\d+\/carrier-\d+\.jsonl$/.test(file)) return 'carrier'
  if (!/^[\w-]+\.jsonl$/.test(file)) return undefined
  if (file.startsWith('model')) return 'model'
  if (file.startsWith('pod-')) return 'pods'
  const named: Record<string, Kind> = { 'sink.jsonl': 'sink', 'faults.jsonl': 'faults', 'records.jsonl': 'records' }
  return named[file]
}

/** Reads all logs of a folder, each kind ascending in time. `probe` lines are kept only to tell a session's call. */
export async function readLogs(folder: string): Promise<LogLines> {
  const logs: LogLines = { carrier: [], model: [], sink: [], pods: [], records: [], faults: [], brokenLines: 0 }
  const probed = new Set<unknown>()
  let count = 0
  for (const file of (await readdir(folder, { recursive: true })).sort()) {
    const kind = kindOf(file)
    if (kind === undefined) continue
    logs.brokenLines += await readWitness(join(folder, file), (line) => {
      const isFirstProbe = kind === 'model' && line.event === 'probe' && !probed.has(line.session)
      if (isFirstProbe) probed.add(line.session)
      if (UNREAD.has(line.event) && !isFirstProbe) return
      if (++count > LINES_MAX) throw new Error(`the logs in ${folder} hold more than ${LINES_MAX} lines`)
      logs[kind].push(line)
    })
  }
  for (const kind of ['carrier', 'model', 'sink', 'pods', 'faults'] as const) logs[kind].sort((a, b) => a.t - b.t)
  return logs
}
