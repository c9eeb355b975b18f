// A thousand calls at once on one machine: edge processes, simulators and callers together. Says what was saturated.
// With `--only voiceplane-tls` (or a peer's name) the same over TLS to the model. A machine that cannot carry them all is no failure: what
// counts is that each call beyond its limit is refused with a sentence, and that none fails in between.
// Appends are joined above the load threshold (APPEND_COALESCE=auto), which is the plane's documented policy.
import type { Figures } from '../../load/report/figures.ts'
import { round } from '../../load/report/statistics.ts'
import { atMost, type Bench, type BenchCase, type Check } from '../runner/bench.ts'
import { type Bridge, startSubject, subjectOf } from '../runner/contenders.ts'
import { type RunningLoad, startLoad, worstLateness } from '../runner/load.ts'
import { type Model, startModel } from '../runner/model.ts'
import { type Shares, sampleShares } from '../runner/window.ts'

const CALLS = 1_000
const SECONDS = 60
const PODS = 2
// Slow enough that the set-ups (handshakes, agents, signatures) do not saturate the machine before the calls do.
const RAMP_PER_SECOND = 12

type Fleet = { models: Model[]; pods: Bridge[] }

export const thousand: BenchCase = {
  text: `${CALLS} concurrent calls held for ${SECONDS} s on one machine: nothing fails, nothing is dropped, no frame lost; beyond its limit calls are refused`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const seconds = bench.options.seconds ?? SECONDS
    const fleet = await startFleet(bench, bench.options.pods ?? PODS, calls)
    const load = startCallers(bench, fleet, calls, seconds)
    await load.allTalking()
    bench.note(`${calls} calls talk; holding ${seconds} s`)
    const shares = await sampleShares(watchedOf(fleet, load), seconds)
    const liveAtEnd = load.talking()
    load.hangUp()
    const report = await load.report()
    const { figures } = report
    return {
      figures: { subject: subjectOf(bench), liveAtEnd, ...shareFigures(shares, calls), ...carried(figures) },
      samples: { calls, seconds, pods: fleet.pods.length, framesSent: figures.frames.sent },
      generator: worstLateness([report]),
      checks: checksOf(figures, calls - figures.setUp.refused - liveAtEnd),
    }
  },
}

/** Each pod has a model simulator of its own: one alone would be the first thing to be saturated. */
async function startFleet(bench: Bench, podCount: number, calls: number): Promise<Fleet> {
  const fleet: Fleet = { models: [], pods: [] }
  for (let i = 1; i <= podCount; i++) {
    const model = await startModel(bench, {
      witness: true,
      toolEveryMs: 60_000,
      tls: subjectOf(bench).endsWith('-tls'),
    })
    fleet.models.push(model)
    fleet.pods.push(await startSubject(bench, model, { callsMax: calls, coalesce: 'auto', podName: `pod-${i}` }))
  }
  return fleet
}

function startCallers(bench: Bench, { models, pods }: Fleet, calls: number, seconds: number): RunningLoad {
  return startLoad(bench, {
    urls: pods.map((pod) => pod.url),
    calls,
    ratePerSecond: RAMP_PER_SECOND,
    holdS: Math.ceil(calls / RAMP_PER_SECOND) + seconds + 60,
    scenario: 'talk=9,barge-in=1',
    seed: 5,
    isProbing: true,
    modelWitnesses: models.map((model) => model.witnessFile!),
    processes: pods.length === 1 ? 2 : pods.length,
    mayBeRefused: true,
  })
}

function watchedOf({ models, pods }: Fleet, load: RunningLoad): { name: string; pid: number }[] {
  return [
    ...pods.map(({ pid }, i) => ({ name: `edge ${i + 1}`, pid })),
    ...models.map(({ pid }, i) => ({ name: `model simulator ${i + 1}`, pid })),
    { name: 'callers', pid: load.pid },
  ]
}

function shareFigures({ processes, machineShare, saturated }: Shares, calls: number): Record<string, unknown> {
  const edgeShare = processes.filter(({ name }) => name.startsWith('edge')).reduce((sum, one) => sum + one.coreShare, 0)
  return { cpu: processes, edgeCpuMsPerCallSecond: round((edgeShare * 1_000) / calls), machineShare, saturated }
}

function carried({
  setUp,
  calls,
  frames,
  addedLatencyMs,
  voiceToVoiceMs,
  bargeIn,
  turns,
  agentAudio,
  warnings,
}: Figures) {
  return { setUp, ended: calls, frames, addedLatencyMs, voiceToVoiceMs, bargeIn, turns, agentAudio, warnings }
}

function checksOf({ setUp, calls, frames }: Figures, missing: number): Check[] {
  return [
    atMost('set-ups failed', setUp.failed, 0),
    atMost('calls dropped', calls.dropped, 0),
    atMost('frames lost', frames.lost, 0),
    atMost('calls neither refused nor there at the end of the hold', missing, 0),
  ]
}
