// How many calls a core holds: CPU of the bridge process for each second of each call, the plane beside its peers. Rules:
// DN1: contenders take turns (A B C, A B C, …) with fresh processes, and the median of the rounds counts: the machine is shared.
// DN2: a contender that uses more than SATURATED_SHARE of a core at the full number of calls is measured with half of them, and says so:
//      a saturated process hides its cost.
// DN3: pass and fail are ratios of medians of one run, and memory: the machine and the model simulator are the same for all.
// DN4: over TLS the terminator stands before the same simulator; only the bridge's process is counted.
// DN5: the plane runs with its defaults, as operators run it: it joins frames while a caller is quiet (APPEND_COALESCE=auto). The peers have
//      no such thing. Callers speak in turns and pause; how much of the time they speak is told.
// DN6: idle memory is read IDLE_MS after the calls of the warm-up: an allocator that gives back late has given back. A figure of a call that
//      is not above zero is no figure.
// DN7: each contender's ratio to the floor of the same kind of link (plain or TLS) is told, and nothing passes or fails by it: the aim is at most 2.
import type { LoadReport } from '../../load/report/report.ts'
import { atLeast, atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { CONTENDER_NAMES, type ContenderName, contenderText, startContender } from '../runner/contenders.ts'
import { medianOf, startLoad, worstLateness } from '../runner/load.ts'
import { type Model, startModel } from '../runner/model.ts'
import { readUsage } from '../runner/procfs.ts'
import { sampleWindow, type WindowFigures } from '../runner/window.ts'

const CALLS = 100
const SECONDS = 15
const ROUNDS = 3
const RAMP_PER_SECOND = 40
const SETTLE_MS = 8_000
const TOOL_EVERY_MS = 60_000
const SATURATED_SHARE = 0.9
const WARM_UP_CALLS = 10
/** Longer than any allocator here keeps what was freed. */
const IDLE_MS = 12_000
/** What decision 014 speaks of, for `--bounds`: the same figures in less than half the time. */
const BOUND_NAMES: readonly ContenderName[] = ['voiceplane', 'sdk', 'voiceplane-tls', 'ws-tls', 'sdk-tls']

/** Times the floor's CPU: told, not judged. */
const FLOOR_AIM = 2

type Measured = WindowFigures & {
  idleRssKb: number
  rssPerCallKb: number
  agentShare: number | null
  callersShare: number | null
  dropped: number
}
type Tally = { calls: number; rounds: Measured[]; failures: string[] }
type Tallies = Map<ContenderName, Tally>

export const density: BenchCase = {
  text: `CPU and memory per call at ${CALLS} calls with real conversation traffic, beside the floor and the peers, plain and with TLS to the model`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const rounds = bench.options.rounds ?? ROUNDS
    const wanted = bench.options.isBounds === true ? BOUND_NAMES : bench.options.only
    const names = CONTENDER_NAMES.filter((name) => wanted?.includes(name) ?? true)
    const tallies: Tallies = new Map(names.map((name) => [name, { calls, rounds: [], failures: [] }]))
    const reports: LoadReport[] = []
    const model = await startModel(bench, {
      toolEveryMs: TOOL_EVERY_MS,
      tls: names.some((name) => name.endsWith('-tls')),
    })
    for (let round = 1; round <= rounds; round++) {
      for (const [name, tally] of tallies) {
        bench.note(`round ${round} of ${rounds}: ${name}, ${tally.calls} calls`)
        await measureInto(bench, model, name, tally, reports)
      }
    }
    return resultOf(tallies, reports, bench.options.isBounds === true)
  },
}

/** [DN2] */
async function measureInto(
  bench: Bench,
  model: Model,
  name: ContenderName,
  tally: Tally,
  reports: LoadReport[],
): Promise<void> {
  try {
    let measured = await measure(bench, model, name, tally.calls, reports)
    if (measured.coreShare > SATURATED_SHARE && tally.rounds.length === 0) {
      tally.calls = Math.ceil(tally.calls / 2)
      bench.note(
        `${name} is saturated (${(measured.coreShare * 100).toFixed(0)} % of a core): measured at ${tally.calls} calls`,
      )
      measured = await measure(bench, model, name, tally.calls, reports)
    }
    bench.note(
      `${name}: ${measured.cpuMsPerCallSecond.toFixed(2)} CPU-ms per call-second, ${measured.rssPerCallKb.toFixed(0)} kB per call`,
    )
    tally.rounds.push(measured)
  } catch (error) {
    const text = (error as Error).message
    bench.note(`${name} failed: ${text}`)
    tally.failures.push(text)
  }
}

async function measure(
  bench: Bench,
  model: Model,
  name: ContenderName,
  calls: number,
  reports: LoadReport[],
): Promise<Measured> {
  const seconds = bench.options.seconds ?? SECONDS
  const bridge = await startContender(bench, name, model, calls)
  try {
    await warmUp(bench, bridge.url)
    const idleRssKb = readUsage(bridge.pid)?.rssKb ?? Number.NaN
    const holdS = Math.ceil(calls / RAMP_PER_SECOND + SETTLE_MS / 1_000 + seconds + 60)
    const load = startLoad(bench, {
      urls: [bridge.url],
      calls,
      ratePerSecond: RAMP_PER_SECOND,
      holdS,
      scenario: 'conversation',
      seed: 1,
    })
    try {
      await load.allTalking()
      await bench.pause(SETTLE_MS)
      const window = await sampleWindow(bridge.pid, seconds, load.talking)
      load.hangUp()
      const report = await load.report()
      reports.push(report)
      const rssPerCallKb = (window.rssKb - idleRssKb) / calls
      return {
        ...window,
        idleRssKb,
        rssPerCallKb,
        agentShare: report.figures.agentAudio.playedShare,
        callersShare: report.figures.callerAudio.spokenShare,
        dropped: report.figures.calls.dropped,
      }
    } finally {
      load.hangUp()
      await load.report().catch(() => undefined)
    }
  } finally {
    await bridge.stop()
  }
}

/** A few calls before the idle reading, so that code and pools are loaded in all contenders alike. */
async function warmUp(bench: Bench, url: string): Promise<void> {
  const load = startLoad(bench, {
    urls: [url],
    calls: WARM_UP_CALLS,
    ratePerSecond: 20,
    holdS: 4,
    scenario: 'conversation',
    seed: 2,
  })
  await load.report()
  await bench.pause(IDLE_MS)
}

function resultOf(tallies: Tallies, reports: LoadReport[], isBounds: boolean): BenchResult {
  const cpuOf = (name: ContenderName): number | null =>
    medianOf((tallies.get(name)?.rounds ?? []).map((one) => one.cpuMsPerCallSecond))
  const ratio = (name: ContenderName, over: ContenderName): number | null => {
    const [top, bottom] = [cpuOf(name), cpuOf(over)]
    return top === null || bottom === null ? null : Math.round((top / bottom) * 1_000) / 1_000
  }
  const rssOf = (name: ContenderName): number | null => {
    const rssKb = medianOf((tallies.get(name)?.rounds ?? []).map((one) => one.rssPerCallKb))
    return rssKb !== null && rssKb > 0 ? rssKb : null
  }
  return {
    figures: {
      contenders: Object.fromEntries(
        [...tallies].map(([name, tally]) => [
          name,
          { ...contenderFigures(name, tally), ratioToFloor: ratio(name, floorOf(name)) },
        ]),
      ),
      ratioToFloor: `times the CPU of ${contenderText('floor')}, plain or over TLS alike; voiceplane's aim is at most ${FLOOR_AIM}`,
    },
    samples: { reportsOfLoad: reports.length },
    generator: worstLateness(reports),
    checks: [
      ...(isBounds
        ? []
        : [
            atLeast('denser than fastapi', ratio('fastapi', 'voiceplane'), 3, 'x'),
            atMost('voiceplane to bare sockets of Node', ratio('voiceplane', 'bare'), 1.5, 'x'),
            atMost('voiceplane-pcm16 to voiceplane', ratio('voiceplane-pcm16', 'voiceplane'), 1.875, 'x'),
          ]),
      atLeast('denser than sdk', ratio('sdk', 'voiceplane'), 3, 'x'),
      atMost('voiceplane kB per call', rssOf('voiceplane'), 120),
      atLeast('over TLS, denser than sdk over TLS', ratio('sdk-tls', 'voiceplane-tls'), 2.2, 'x'),
      atMost('over TLS, to ws over TLS', ratio('voiceplane-tls', 'ws-tls'), 1, 'x'),
      atMost('over TLS, to voiceplane plain', ratio('voiceplane-tls', 'voiceplane'), 1.3, 'x'),
      atMost('voiceplane over TLS, kB per call', rssOf('voiceplane-tls'), 120),
    ],
  }
}

/** [DN7] */
function floorOf(name: ContenderName): ContenderName {
  return name.endsWith('-tls') ? 'floor-tls' : 'floor'
}

function contenderFigures(name: ContenderName, tally: Tally): Record<string, unknown> {
  const of = (pick: (one: Measured) => number | null): number | null =>
    medianOf(tally.rounds.flatMap((one) => pick(one) ?? []))
  return {
    what: contenderText(name),
    calls: tally.calls,
    rounds: tally.rounds.length,
    cpuMsPerCallSecond: of((one) => one.cpuMsPerCallSecond),
    ofEachRound: tally.rounds.map((one) => Math.round(one.cpuMsPerCallSecond * 1_000) / 1_000),
    coreShare: of((one) => one.coreShare),
    machineShare: of((one) => one.machineShare),
    rssPerCallKb: of((one) => one.rssPerCallKb),
    idleRssKb: of((one) => one.idleRssKb),
    agentSpeaksShare: of((one) => one.agentShare),
    callersSpeakShare: of((one) => one.callersShare),
    dropped: tally.rounds.reduce((total, one) => total + one.dropped, 0),
    failures: tally.failures,
  }
}
