// A thousand calls at once on one machine: edge processes, simulators and callers together. Says what was saturated.
// Appends are joined above the load threshold (APPEND_COALESCE=auto), which is the plane's documented policy.
import { atMost, type BenchCase } from '../runner/bench.ts'
import { startSubject, subjectOf } from '../runner/contenders.ts'
import { startLoad, worstLateness } from '../runner/load.ts'
import { startModel } from '../runner/model.ts'
import { machineCpuMs, readUsage } from '../runner/procfs.ts'

const CALLS = 1_000
const SECONDS = 60
const PODS = 2
const RAMP_PER_SECOND = 25
const SATURATED_CORE_SHARE = 0.9
const SATURATED_MACHINE_SHARE = 0.95

type Watched = { name: string; pid: number; cpuMs: number }

export const thousand: BenchCase = {
  text: `${CALLS} concurrent calls held for ${SECONDS} s on one machine: nothing refused, nothing dropped, no frame lost`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const seconds = bench.options.seconds ?? SECONDS
    const podCount = bench.options.pods ?? PODS
    const models = await Promise.all(
      Array.from({ length: podCount }, () => startModel(bench, { witness: true, toolEveryMs: 60_000 })),
    )
    const pods = []
    for (const [i, model] of models.entries()) {
      pods.push(await startSubject(bench, model.url, { callsMax: calls, coalesce: 'auto', podName: `pod-${i + 1}` }))
    }
    const load = startLoad(bench, {
      urls: pods.map((pod) => pod.url),
      calls,
      ratePerSecond: RAMP_PER_SECOND,
      holdS: Math.ceil(calls / RAMP_PER_SECOND) + seconds + 60,
      scenario: 'talk=9,barge-in=1',
      seed: 5,
      isProbing: true,
      modelWitnesses: models.map((model) => model.witnessFile!),
      processes: podCount,
    })
    await load.allTalking()
    bench.note(`${calls} calls talk; holding ${seconds} s`)
    const watched: Watched[] = [
      ...pods.map(({ pid }, i) => ({ name: `edge ${i + 1}`, pid, cpuMs: 0 })),
      ...models.map(({ pid }, i) => ({ name: `model simulator ${i + 1}`, pid, cpuMs: 0 })),
      { name: 'callers', pid: load.pid, cpuMs: 0 },
    ]
    for (const one of watched) one.cpuMs = readUsage(one.pid)?.cpuMs ?? Number.NaN
    const machineBefore = machineCpuMs()
    await bench.pause(seconds * 1_000)
    const machineAfter = machineCpuMs()
    const shares = watched.map(({ name, pid, cpuMs }) => {
      const usage = readUsage(pid)
      const spentMs = (usage?.cpuMs ?? Number.NaN) - cpuMs
      return {
        name,
        coreShare: round(spentMs / (seconds * 1_000)),
        rssMb: round((usage?.rssKb ?? Number.NaN) / 1_024),
        processes: usage?.processes ?? 0,
      }
    })
    const machineShare = (machineAfter.busyMs - machineBefore.busyMs) / (machineAfter.totalMs - machineBefore.totalMs)
    const liveAtEnd = load.talking()
    load.hangUp()
    const report = await load.report()
    const { setUp, calls: ended, frames, addedLatencyMs, voiceToVoiceMs, bargeIn, warnings, turns } = report.figures
    const edgeMs =
      shares.filter((one) => one.name.startsWith('edge')).reduce((sum, one) => sum + one.coreShare, 0) * 1_000
    return {
      figures: {
        subject: subjectOf(bench),
        liveAtEnd,
        cpu: shares,
        edgeCpuMsPerCallSecond: round(edgeMs / calls),
        machineShare: round(machineShare),
        saturated: saturated(shares, machineShare),
        ...{ setUp, ended, frames, addedLatencyMs, voiceToVoiceMs, bargeIn, turns, warnings },
      },
      samples: { calls, seconds, pods: podCount, framesSent: frames.sent },
      generator: worstLateness([report]),
      checks: [
        atMost('set-ups failed', setUp.failed, 0),
        atMost('calls dropped', ended.dropped, 0),
        atMost('frames lost', frames.lost, 0),
        atMost('calls missing at the end of the hold', calls - liveAtEnd, 0),
      ],
    }
  },
}

function saturated(shares: { name: string; coreShare: number; processes: number }[], machineShare: number): string[] {
  const single = shares
    .filter((one) => one.coreShare / Math.max(1, one.processes) > SATURATED_CORE_SHARE)
    .map((one) => one.name)
  return machineShare > SATURATED_MACHINE_SHARE ? ['the machine', ...single] : single
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
