// ceiling (F27, F30, F31, F32): far more callers than sessions. Rules:
// CE1: two tenants of weight 2 and 1 offer BURST times the ceiling at once; half of a third tenant's callers lose patience; a small
//      tenant with a guarantee comes in all the while. Nobody is turned away: the queue is long enough.
// CE2: the simulator lets in as many sessions again above the ceiling: a breach would be seen, not refused.
// CE3: FIFO and barging are judged by the carrier (witness/line-order.ts), shares while both great tenants waited.
// CE4: then the provider refuses for REFUSING_MS: attempts may be at most twice what is let in, and no more than a few a second.
import { setTimeout as sleep } from 'node:timers/promises'
import { summarise } from '../../load/report/statistics.ts'
import { type Callers, startCallers } from '../callers.ts'
import { type Ground, layGround } from '../ground.ts'
import type { History } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, latenessOf, percent, readEnding } from '../scene.ts'
import type { CallStory } from '../witness/call-story.ts'
import type { Fault } from '../witness/fault-log.ts'
import { inversionsOf, lastWaitUs, servedBetween, servedUs } from '../witness/line-order.ts'

const BURST = 3
const PATIENCE_S = 300
/** Longer than anybody here has to wait: who is not served has been forgotten. */
const WAIT_MAX_MS = 600_000
/** The small tenant's visitors come so slowly that they stay within what it is guaranteed. */
const SMALL_EVERY_S = 40
const WAITED_US = 2_000_000
const REFUSING_MS = 10_000
const GUARANTEED_SHARE = 0.2
const NUMBERS = { great: '+15550100001', less: '+15550100002', hasty: '+15550100003', small: '+15550100004' } as const
type Tenant = keyof typeof NUMBERS

async function runCeiling(run: ChaosRun): Promise<Outcome> {
  const ceiling = run.asked.calls ?? 40
  const guaranteed = Math.ceil(ceiling * GUARANTEED_SHARE)
  const tenant = (name: Tenant, weight: number, more: Record<string, number> = {}) => ({
    tenant: name,
    numbers: [NUMBERS[name]],
    weight,
    ...more,
  })
  const tenants = [tenant('great', 2), tenant('less', 1), tenant('hasty', 1), tenant('small', 1, { guaranteed })]
  const ground = await layGround(run, {
    pods: run.asked.pods ?? 3,
    ceiling,
    slack: ceiling,
    limits: { tenants, queueMax: ceiling * 20, waitMaxMs: WAIT_MAX_MS },
    env: { QUEUE_WAIT_MAX_MS: String(WAIT_MAX_MS) },
  })
  const place = (name: Tenant, calls: number, ratePerSecond: number, scenario: string, holdS = PATIENCE_S): Callers =>
    startCallers(run, {
      url: ground.fleet.baseUrl,
      calls,
      ratePerSecond,
      holdS,
      scenario,
      seed: run.asked.seed,
      number: NUMBERS[name],
    })
  const callers = [
    place('great', ceiling * BURST, 20, 'visit'),
    place('less', ceiling * BURST, 20, 'visit'),
    place('hasty', ceiling, 10, 'visit=1,impatient=1', 60),
    place('small', guaranteed * 3, guaranteed / SMALL_EVERY_S, 'visit'),
  ]
  const refusing = await refuseForAWhile(run, ground, ceiling)
  const reports = await Promise.all(callers.map((one) => one.report()))
  return judge(run, ceiling, refusing, await readEnding(run, ground, reports.map(latenessOf)))
}

/** [CE4] */
async function refuseForAWhile(run: ChaosRun, ground: Ground, ceiling: number): Promise<Fault> {
  await ground.sessionsReach(ceiling, 30_000)
  await sleep(REFUSING_MS)
  const fault = run.faults.note('model', '', 'refusing')
  const refuse = { status: 429, code: 'rate_limit_exceeded', count: -1 }
  await ground.orderModel({ set: { refuse } })
  await sleep(REFUSING_MS)
  await ground.orderModel({ set: { refuse: null } })
  run.note('the model refused for a while and lets in again')
  return fault
}

function judge(run: ChaosRun, ceiling: number, refusing: Fault, ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling, overBound: 0 })
  const of = (name: Tenant): CallStory[] => [...history.calls.values()].filter(({ to }) => to === NUMBERS[name])
  const [great, less, small] = [of('great'), of('less'), of('small')]
  const inversions = [great, less, of('hasty'), small].flatMap(inversionsOf)
  const fromUs =
    Math.max(...[great, less].map((calls) => Math.min(...calls.map(({ placedUs }) => placedUs)))) + WAITED_US
  const toUs = Math.min(lastWaitUs(great, WAITED_US), lastWaitUs(less, WAITED_US))
  const [greatServed = 0, lessServed = 0] = servedBetween([great, less], fromUs, toUs)
  const share = percent(greatServed, greatServed + lessServed)
  const waits = (calls: readonly CallStory[]) => summarise(calls.flatMap((story) => waitMs(story) ?? []))
  const unserved = [...great, ...less].filter((story) => servedUs(story) === undefined).length
  const attempts = attemptsWhile(history, refusing.atUs, REFUSING_MS)
  return {
    samples: { calls: history.calls.size, servedWhileBothWaited: greatServed + lessServed, small: small.length },
    figures: {
      greatSharePercent: share,
      waitMs: { great: waits(great), less: waits(less), hasty: waits(of('hasty')), small: waits(small) },
      inversions: inversions.slice(0, 5),
      attemptsWhileRefusing: attempts,
      ...commonFigures(ending, findings),
    },
    checks: [
      atMost('sessions at once, seen by the model', findings.sessionsMax, ceiling),
      exactly('callers who barged in', inversions.length, 0),
      exactly('callers of the great tenants who were not served', unserved, 0),
      atLeast('share of the tenant of weight 2, of 3', share, 60, ' %'),
      atMost('share of the tenant of weight 2, of 3', share, 73.333, ' %'),
      atLeast(
        'callers of the small tenant who were served',
        percent(small.filter((one) => servedUs(one) !== undefined).length, small.length),
        99.9,
        ' %',
      ),
      atMost('wait of the small tenant p95', waits(small).p95, 1_000, ' ms'),
      atMost('attempts a second while the model refuses everything', attempts / (REFUSING_MS / 1_000), 5),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

function waitMs(story: CallStory): number | undefined {
  const atUs = servedUs(story)
  return atUs === undefined ? undefined : (atUs - story.placedUs) / 1_000
}

function attemptsWhile({ model }: History, fromUs: number, ms: number): number {
  return model.refused.filter(({ atUs }) => atUs >= fromUs && atUs < fromUs + ms * 1_000).length
}

export const ceiling: ChaosCase = {
  faults: 'F27 F30 F31 F32',
  text: 'a burst of seven times the ceiling from four tenants, some without patience, and a provider that refuses',
  run: runCeiling,
}
