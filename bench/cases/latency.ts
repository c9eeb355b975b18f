// What the plane adds: carrier → model, model → carrier, and speech_started → clear, from the logs of both ends.
import { atMost, type BenchCase } from '../runner/bench.ts'
import { startSubject, subjectOf } from '../runner/contenders.ts'
import { startLoad, worstLateness } from '../runner/load.ts'
import { startModel } from '../runner/model.ts'

const CALLS = 200
const SECONDS = 40
const RAMP_PER_SECOND = 20

export const latency: BenchCase = {
  text: `latency added by one edge process at ${CALLS} calls in both directions, and its reaction to a barge-in`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const model = await startModel(bench, { witness: true, toolEveryMs: 60_000 })
    const plane = await startSubject(bench, model, { callsMax: calls * 2, coalesce: 'off' })
    const holdS = (bench.options.seconds ?? SECONDS) + Math.ceil(calls / RAMP_PER_SECOND)
    const load = startLoad(bench, {
      urls: [plane.url],
      calls,
      ratePerSecond: RAMP_PER_SECOND,
      holdS,
      scenario: 'talk=3,barge-in=1',
      seed: 3,
      isProbing: true,
      modelWitnesses: [model.witnessFile!],
    })
    await load.allTalking()
    bench.note(`${calls} calls talk; holding`)
    const report = await load.report()
    const { addedLatencyMs, bargeIn, setUp, calls: ended, frames, voiceToVoiceMs, turns } = report.figures
    const toModel = addedLatencyMs.carrierToModel
    const toClear = bargeIn.speechStartedToClearMs
    return {
      figures: {
        subject: subjectOf(bench),
        setUp,
        ended,
        addedLatencyMs,
        speechStartedToClearMs: toClear,
        bargeIn,
        frames,
        voiceToVoiceMs,
        turns,
      },
      samples: { calls, toModel: toModel?.n ?? 0, toCarrier: addedLatencyMs.modelToCarrier.n, clears: toClear?.n ?? 0 },
      generator: worstLateness([report]),
      checks: [
        atMost('carrier → model p50 ms', toModel?.p50, 1),
        atMost('carrier → model p99 ms', toModel?.p99, 10),
        atMost('model → carrier p50 ms', addedLatencyMs.modelToCarrier.p50, 1),
        atMost('model → carrier p99 ms', addedLatencyMs.modelToCarrier.p99, 10),
        atMost('speech_started → clear p99 ms', toClear?.p99, 10),
        atMost('calls dropped or not set up', ended.dropped + setUp.failed, 0),
      ],
    }
  },
}
