// What the simulators' own logs say of a run: the only source of figures besides the callers' reports. Rules:
// WJ1: lines are joined by call number; times are monotonic µs of one machine, so they compare between processes.
// WJ2: a clear answers the last speech_started of its call since the clear before it, within JOIN_MS_MAX; each is used once.
// WJ3: a broken last line (the writer was killed) is skipped and counted; it does not end the reading.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

const JOIN_MS_MAX = 5_000

/** One line of a witness log. */
export type WitnessLine = { t: number; event: string; call?: number; session?: string } & Record<string, unknown>

/** A moment in a call, `t` in monotonic µs. */
type CallMoment = { call: number; t: number }

/** What the model simulator saw, as far as it knew the call. */
export type ModelSight = {
  /** Caller's probe frames: carrier → model. */
  latenciesMs: number[]
  framesLost: number
  framesExtra: number
  speechStarted: CallMoment[]
  brokenLines: number
}

/** Calls `take` with each line of a JSON-lines file; the number of lines that were not JSON. */
export async function readWitness(path: string, take: (line: WitnessLine) => void): Promise<number> {
  let broken = 0
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text === '') continue
    let line: WitnessLine
    try {
      line = JSON.parse(text) as WitnessLine
    } catch {
      broken++
      continue
    }
    take(line)
  }
  return broken
}

/** Reads the model simulator's logs. `calls` keeps only these call numbers (a log may hold earlier runs). */
export async function readModelWitness(
  paths: readonly string[],
  calls: ReadonlySet<number>,
  sinceUs: number,
): Promise<ModelSight> {
  const sight: ModelSight = {
    latenciesMs: [],
    framesLost: 0,
    framesExtra: 0,
    speechStarted: [],
    brokenLines: 0,
  }
  for (const path of paths) {
    sight.brokenLines += await readWitness(path, (line) => {
      if (line.t >= sinceUs) takeModelLine(sight, line, calls)
    })
  }
  return sight
}

function takeModelLine(sight: ModelSight, line: WitnessLine, calls: ReadonlySet<number>): void {
  if (line.call === undefined || !calls.has(line.call)) return
  if (line.event === 'probe') sight.latenciesMs.push(Number(line.carrier_to_model_us) / 1_000)
  else if (line.event === 'frames_lost') sight.framesLost += Number(line.frames)
  else if (line.event === 'frames_extra') sight.framesExtra += Number(line.frames)
  else if (line.event === 'speech_started') sight.speechStarted.push({ call: line.call, t: line.t })
}

/** The clears that carriers received, by call. */
export async function readClears(paths: readonly string[]): Promise<CallMoment[]> {
  const clears: CallMoment[] = []
  for (const path of paths) {
    await readWitness(path, (line) => {
      if (line.event === 'clear-received' && line.call !== undefined) clears.push({ call: line.call, t: line.t })
    })
  }
  return clears
}

/** [WJ1][WJ2] Milliseconds from speech_started sent to the clear that answered it. */
export function joinBargeIns(speechStarted: readonly CallMoment[], clears: readonly CallMoment[]): number[] {
  const startsOf = byCall(speechStarted)
  const reactionsMs: number[] = []
  for (const [call, clearTimes] of byCall(clears)) {
    const starts = startsOf.get(call) ?? []
    let next = 0
    for (const clearedAt of clearTimes) {
      let last: number | undefined
      while (next < starts.length && starts[next]! <= clearedAt) last = starts[next++]
      if (last !== undefined && clearedAt - last <= JOIN_MS_MAX * 1_000) reactionsMs.push((clearedAt - last) / 1_000)
    }
  }
  return reactionsMs
}

function byCall(moments: readonly CallMoment[]): Map<number, number[]> {
  const times = new Map<number, number[]>()
  for (const { call, t } of moments) {
    const list = times.get(call)
    if (list === undefined) times.set(call, [t])
    else list.push(t)
  }
  for (const list of times.values()) list.sort((a, b) => a - b)
  return times
}
