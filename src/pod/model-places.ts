// Where each pool of the limits is: the endpoint that it names, else the plane's own provider. Rules:
// PP1: all problems are reported at once: the pools without a place, and the keys that are missing or have the wrong form.
import { azurePlace, type Config, openAiPlace, readKeys } from '../config.ts'
import type { Limits, PoolEndpoint } from '../control/limits.ts'
import type { Clock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import type { PoolPlace } from '../model/pools/call-routes.ts'
import { ModelPools } from '../model/pools/pools.ts'
import type { Metrics } from '../ops/metrics.ts'
import { limitsOf } from './pod-settings.ts'

/** The pools of the configuration. Throws CONFIG_INVALID. */
export function openModelPools(config: Config, world: { clock: Clock; log: Log; metrics: Metrics }): ModelPools {
  const limits = limitsOf(config)
  return new ModelPools({ limits, places: placesOf(config, limits), ...world })
}

/** The place of each pool. `env`: default the process's own. Throws CONFIG_INVALID. */
export function placesOf(
  config: Config,
  limits: Limits,
  env?: Record<string, string | undefined>,
): Map<string, PoolPlace> {
  const { endpoint: own } = config.model
  const places = new Map<string, PoolPlace>()
  const without: string[] = []
  const read = readKeys(
    [...limits.endpoints.values()].map(({ keyVariable }) => keyVariable),
    env,
  )
  for (const { pool } of limits.cell.pools) {
    const named = limits.endpoints.get(pool)
    if (named !== undefined) places.set(pool, placeOf(config, named, read.keys.get(named.keyVariable) ?? ''))
    else if (own.kind === 'none') without.push(pool)
    else places.set(pool, { url: new URL(own.url), headers: { ...own.headers } })
  }
  const lines = read.problems.map(({ variable, problem, fix }) => `  ${variable}: ${problem}; ${fix}`)
  if (without.length > 0 && config.fleet.limitsFile === undefined) {
    throw new VoiceError('CONFIG_INVALID', {
      message: 'No model is configured: set OPENAI_API_KEY, or start role all for the offline model.',
    })
  }
  for (const pool of without) {
    lines.push(
      `  the pool ${pool} has no endpoint and the plane no provider; give it an endpoint, or set OPENAI_API_KEY`,
    )
  }
  if (lines.length === 0) return places
  throw new VoiceError('CONFIG_INVALID', { message: `The pools of LIMITS_FILE have problems:\n${lines.join('\n')}` })
}

function placeOf(config: Config, endpoint: PoolEndpoint, key: string): PoolPlace {
  const { url, headers } =
    endpoint.kind === 'azure'
      ? azurePlace(new URL(endpoint.endpoint), endpoint.deployment, key)
      : openAiPlace(
          endpoint.url === undefined ? undefined : new URL(endpoint.url),
          endpoint.model ?? config.model.name,
          key,
        )
  return { url: new URL(url), headers }
}
