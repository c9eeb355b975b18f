// Half as many calls again as one pod carries. Rules:
// ST1: what the pod carries is what it learns itself, under LEARN_CALLS calls; then SURPLUS times that many are offered at once.
// ST2: the pod has one core and shares it with a neighbour that never rests, at a lower priority than that. So the pod is full before the
//      simulators and the generator are, which have the other cores. How late the generator was is told.
// ST3: the plane has no bound of its own: CALLS_MAX is far above what is offered.
// ST4: judged by the simulators' own logs: a call is set up and whole, or refused in words.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { LoadReport } from '../../load/report/report.ts'
import { atLeast, atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { startChild } from '../runner/child.ts'
import { type Bridge, startPlane } from '../runner/contenders.ts'
import { startLoad, worstLateness } from '../runner/load.ts'
import { readMetrics } from '../runner/metrics.ts'
import { startModel } from '../runner/model.ts'

const LEARN_CALLS = 120
const SECONDS = 30
const SURPLUS = 1.5
const RAMP_PER_SECOND = 8
// The window of the pod's learning (CAP1).
const LEARN_MS = 30_000
/** Far above what is offered. [ST3] */
const CALLS_MAX = 5_000
const LATENCY_P99_MS = 60
/** Of the pod; its neighbour has 0. */
const POD_NICE = 5
const NEIGHBOUR = 'console.log(JSON.stringify({ port: 1 })); for (;;) {}'

export const saturate: BenchCase = {
  text: `offers ${SURPLUS} times what one pod carries, as it learns it: admitted calls stay whole, the others are refused in words`,
  run: async (bench) => {
    const model = await startModel(bench, { witness: true, toolEveryMs: 60_000 })
    const pod = await startPlane(bench, model.url, { callsMax: CALLS_MAX })
    await crowd(bench, pod)
    pin(model.pid, otherCores())
    const fits = await learn(bench, pod)
    const calls = Math.ceil(fits * SURPLUS)
    const seconds = bench.options.seconds ?? SECONDS
    bench.note(`the pod carries ${fits} calls, as it has learnt; ${calls} are offered`)
    const load = startLoad(bench, {
      ...{ urls: [pod.url], calls, ratePerSecond: RAMP_PER_SECOND, scenario: 'talk', seed: 7 },
      ...{ holdS: Math.ceil(calls / RAMP_PER_SECOND) + seconds + 60, isProbing: true, mayBeRefused: true },
      modelWitnesses: [model.witnessFile!],
    })
    pin(load.pid, otherCores())
    await load.allTalking()
    await bench.pause(seconds * 1_000)
    const liveAtEnd = load.talking()
    const learnt = await capacityOf(pod)
    load.hangUp()
    return resultOf({ report: await load.report(), fits, calls, seconds, liveAtEnd, learnt })
  },
}

/** [ST2] */
async function crowd(bench: Bench, pod: Bridge): Promise<void> {
  const core = podCore()
  await startChild({ name: 'neighbour', file: 'taskset', args: ['-c', core, process.execPath, '-e', NEIGHBOUR] }, bench)
  pin(pod.pid, core)
  run('renice', ['-n', String(POD_NICE), '-p', String(pod.pid)])
}

const podCore = (): string => String(availableParallelism() - 1)

/** All cores but the pod's; a machine with one core has no others. */
function otherCores(): string {
  const others = availableParallelism() - 1
  return others === 0 ? podCore() : `0-${others - 1}`
}

function pin(pid: number, cores: string): void {
  run('taskset', ['-acp', cores, String(pid)])
}

function run(command: string, args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`)
}

/** [ST1] What the pod has learnt that it carries, under calls that end afterwards. */
async function learn(bench: Bench, pod: Bridge): Promise<number> {
  const calls = bench.options.calls ?? LEARN_CALLS
  const load = startLoad(bench, {
    ...{ urls: [pod.url], calls, ratePerSecond: RAMP_PER_SECOND, scenario: 'talk', seed: 3 },
    ...{ holdS: Math.ceil(calls / RAMP_PER_SECOND + LEARN_MS / 1_000 + 60), mayBeRefused: true },
  })
  pin(load.pid, otherCores())
  await load.allTalking()
  await bench.pause(LEARN_MS)
  const { capacityCalls } = await capacityOf(pod)
  load.hangUp()
  await load.report()
  if (capacityCalls === undefined || capacityCalls >= CALLS_MAX)
    throw new Error(`under ${calls} calls the pod learnt nothing: use more --calls`)
  return capacityCalls
}

async function capacityOf(pod: Bridge): Promise<{ capacityCalls: number | undefined; costCores: number | undefined }> {
  const page = await readMetrics(pod.url)
  return { capacityCalls: page.get('voice_capacity_calls'), costCores: page.get('voice_call_cost_cores') }
}

type Run = {
  report: LoadReport
  fits: number
  calls: number
  seconds: number
  liveAtEnd: number
  learnt: { capacityCalls: number | undefined; costCores: number | undefined }
}

/** [ST4] */
function resultOf({ report, fits, calls, seconds, liveAtEnd, learnt }: Run): BenchResult {
  const { setUp, calls: ended, frames, addedLatencyMs } = report.figures
  return {
    figures: { fits, learnt, liveAtEnd, setUp, ended, frames, addedLatencyMs },
    samples: { calls, seconds, framesSent: frames.sent },
    generator: worstLateness([report]),
    checks: [
      atLeast('calls admitted', liveAtEnd, 1),
      atLeast('calls refused in words', setUp.refused, 1),
      atMost('calls neither refused nor there at the end of the hold', calls - setUp.refused - liveAtEnd, 0),
      atMost('set-ups failed', setUp.failed, 0),
      atMost('calls dropped', ended.dropped, 0),
      atMost('frames lost', frames.lost, 0),
      atMost('caller to model, p99', addedLatencyMs.carrierToModel?.p99, LATENCY_P99_MS, ' ms'),
      atMost('model to caller, p99', addedLatencyMs.modelToCarrier.p99, LATENCY_P99_MS, ' ms'),
    ],
  }
}
