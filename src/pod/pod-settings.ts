// Configuration → what control needs: the limits of the cell, the life of the pod, the lag of its loop.
import type { Config } from '../config.ts'
import { defaultLimits, type Limits, readLimitsFile } from '../control/limits.ts'
import { graceProblem, utilizationReader } from '../control/pod-driver.ts'
import { HANDOVER_EVERY_MS, MARGIN_MS, type PodLifeSettings } from '../control/pod-life.ts'
import { VoiceError } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import type { LagMeter } from '../ops/lag.ts'

/** Without a limits file nobody has said how fast the provider lets us connect. */
const CONNECTS_UNLIMITED = 1_000_000
/** The ceiling of a fleet that states none. */
const FLEET_CEILING_CALLS = 1_000

/** The limits of the cell. Throws CONFIG_INVALID with all that is wrong with the file. */
export function limitsOf(config: Config): Limits {
  const { limitsFile, ceilingCalls, redisUrl, queueMax } = config.fleet
  if (limitsFile === undefined) {
    // A pod that is alone may hold no more than its own room.
    const alone = Math.min(ceilingCalls ?? config.call.callsMax, config.call.callsMax)
    const limits = defaultLimits(redisUrl === undefined ? alone : (ceilingCalls ?? FLEET_CEILING_CALLS))
    const pools = limits.cell.pools.map((pool) => ({ ...pool, connectsPerSecond: CONNECTS_UNLIMITED }))
    return { ...limits, cell: { ...limits.cell, pools, queueMax } }
  }
  const reading = readLimitsFile(limitsFile)
  if (reading.kind === 'ok') {
    if (!reading.limits.needsPrices || config.work.prices !== undefined) return reading.limits
    const message = 'LIMITS_FILE bounds moneyPerDay, and PRICES is not set: nobody knows what a call costs'
    throw new VoiceError('CONFIG_INVALID', { message })
  }
  const lines = reading.problems.map(
    ({ path, problem, fix }) => `  ${path === '' ? 'the file' : path}: ${problem}; ${fix}`,
  )
  throw new VoiceError('CONFIG_INVALID', { message: `LIMITS_FILE has problems:\n${lines.join('\n')}` })
}

/** How long what may take when the pod drains. Says so when a full pod cannot be handed over in that time. */
export function lifeOf(config: Config, isAlone: boolean, log: Log): Partial<PodLifeSettings> {
  const { drainDeadlineMs, callsMax } = config.call
  if (isAlone) return { graceMs: drainDeadlineMs + MARGIN_MS, naturalMs: drainDeadlineMs, arrivalsMs: 0 }
  const problem = graceProblem({ callsMax, handoverPerSecond: 1_000 / HANDOVER_EVERY_MS, graceMs: drainDeadlineMs })
  if (problem !== undefined) log.warn({ problem }, 'DRAIN_DEADLINE_MS is too short for CALLS_MAX: calls will be let go')
  return { graceMs: drainDeadlineMs, naturalMs: config.fleet.drainNaturalMs }
}

/** Reads the last second of the event loop. */
export function lagReader(lag: LagMeter): () => { p99Ms: number; utilization: number } | undefined {
  const utilization = utilizationReader()
  return () => (lag.last === undefined ? undefined : { p99Ms: lag.last.p99Ms, utilization: utilization() })
}
