// Thousands of short calls through one pod: what they took must come back. Rules:
// LK1: memory is judged by its slope over the later batches; the first ones fill pools and compile code.
// LK2: sockets, handles and the plane's own maps must be back at their idle count, exactly.

import type { LoadReport } from '../../load/report/report.ts'
import { slope } from '../../load/report/statistics.ts'
import { atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { type Bridge, startSubject, subjectOf } from '../runner/contenders.ts'
import { startLoad, worstLateness } from '../runner/load.ts'
import { readMetrics, sumOf } from '../runner/metrics.ts'
import { startModel } from '../runner/model.ts'
import { countSockets, readUsage } from '../runner/procfs.ts'
import { besideReference, type MachineSpeed } from '../runner/reference.ts'

const CALLS = 3_000
const HOLD_S = 2
const BATCHES = 6
const RAMP_PER_SECOND = 50
const IDLE_SECONDS = 10
const QUIET_MS = 3_000
const QUIET_TRIES = 20
const SLOPE_MAX_KB = 4

type State = {
  calls: number
  rssKb: number
  sockets: number
  activeCalls: number | null
  handles: number | null
  resources: number | null
  heapKb: number | null
}

export const leak: BenchCase = {
  text: `${CALLS} calls of ${HOLD_S} s through one pod: memory, sockets, handles and maps return to where they were`,
  run: async (bench) => {
    const { value, machine } = await besideReference(bench, () => carryCalls(bench))
    return resultOf(subjectOf(bench), value, machine)
  },
}

type Carried = { fresh: State; states: State[]; idle: { before: number; after: number }; reports: LoadReport[] }

async function carryCalls(bench: Bench): Promise<Carried> {
  const calls = bench.options.calls ?? CALLS
  const model = await startModel(bench)
  const plane = await startSubject(bench, model, { callsMax: 500 })
  await bench.pause(QUIET_MS)
  const fresh = await readState(plane, 0)
  const idleBefore = await idleCpu(bench, plane)
  const states: State[] = []
  const reports: LoadReport[] = []
  const perBatch = Math.ceil(calls / BATCHES)
  for (let batch = 1; batch <= BATCHES; batch++) {
    const load = startLoad(bench, {
      urls: [plane.url],
      calls: perBatch,
      ratePerSecond: RAMP_PER_SECOND,
      holdS: HOLD_S,
      scenario: 'talk=2,early-hangup=1,missing-stop=1',
      seed: batch,
    })
    reports.push(await load.report())
    states.push(await quietState(bench, plane, batch * perBatch))
    const { rssKb, sockets } = states.at(-1)!
    bench.note(
      `${batch * perBatch} of ${perBatch * BATCHES} calls: RSS ${(rssKb / 1_024).toFixed(1)} MB, ${sockets} sockets`,
    )
  }
  const idleAfter = await idleCpu(bench, plane)
  return { fresh, states, idle: { before: idleBefore, after: idleAfter }, reports }
}

function resultOf(subject: string, { fresh, states, idle, reports }: Carried, machine: MachineSpeed): BenchResult {
  const later = states.slice(Math.floor(states.length / 3))
  const rssSlope = slope(later.map((state) => ({ x: state.calls, y: state.rssKb })))
  const last = states.at(-1)!
  const failed = reports.reduce((sum, report) => sum + report.figures.setUp.failed + report.figures.setUp.refused, 0)
  const over = (now: number | null, before: number | null): number | null =>
    now === null || before === null ? null : now - before
  return {
    figures: {
      subject,
      fresh,
      afterEachBatch: states,
      rssSlopeKbPerCall: Math.round(rssSlope * 1_000) / 1_000,
      idleCpuMsPerSecond: idle,
      setUpsFailed: failed,
      machine,
    },
    samples: { calls: last.calls, batches: states.length },
    generator: worstLateness(reports),
    checks: [
      atMost('RSS slope, kB per call', rssSlope, SLOPE_MAX_KB),
      atMost('sockets above idle', last.sockets - fresh.sockets, 0),
      atMost('calls still in the plane', last.activeCalls, 0),
      atMost('handles above idle', over(last.handles, fresh.handles), 0),
      atMost('timers and other resources above idle', over(last.resources, fresh.resources), 0),
      atMost(
        'idle CPU after, ms per second above before',
        (idle.after - idle.before) * machine.speed,
        3,
        ' of the reference machine',
      ),
      atMost('set-ups failed', failed, 0),
    ],
  }
}

async function readState(plane: Bridge, calls: number): Promise<State> {
  const sockets = countSockets(plane.pid) ?? Number.NaN
  const metrics = await readMetrics(plane.url)
  const heap = sumOf(metrics, 'nodejs_heap_size_used_bytes')
  return {
    calls,
    rssKb: readUsage(plane.pid)?.rssKb ?? Number.NaN,
    sockets,
    activeCalls: sumOf(metrics, 'voice_active_calls') ?? null,
    handles: sumOf(metrics, 'nodejs_active_handles') ?? null,
    resources: sumOf(metrics, 'nodejs_active_resources') ?? null,
    heapKb: heap === undefined ? null : Math.round(heap / 1_024),
  }
}

/** The state once all calls are gone and keep-alive sockets have been given up, or the last one that was seen. */
async function quietState(bench: Bench, plane: Bridge, calls: number): Promise<State> {
  let state = await readState(plane, calls)
  for (let tries = 0; tries < QUIET_TRIES; tries++) {
    await bench.pause(QUIET_MS / 3)
    const next = await readState(plane, calls)
    const isQuiet = (next.activeCalls ?? 0) === 0 && next.sockets === state.sockets && tries >= 3
    state = next
    if (isQuiet) break
  }
  return state
}

async function idleCpu(bench: Bench, plane: Bridge): Promise<number> {
  const before = readUsage(plane.pid)?.cpuMs ?? Number.NaN
  await bench.pause(IDLE_SECONDS * 1_000)
  const after = readUsage(plane.pid)?.cpuMs ?? Number.NaN
  return Math.round(((after - before) / IDLE_SECONDS) * 1_000) / 1_000
}
