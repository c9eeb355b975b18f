// The environment of a fleet's pods. Rules:
// FE1: what the fleet decides is set here; anything else of `env` is handed on as it is, and `env` wins over a default.
// FE2: one pod less still carries the ceiling: unless told otherwise a pod may hold its share of it among all pods but one, and as
//      much more as it counts as fuller when it is fresh or late: a small fleet would be full before its first call.
import { randomBytes } from 'node:crypto'
import { SLOW_START_CALLS } from '../../src/control/pod-life.ts'
import type { HaproxyPod } from './haproxy-config.ts'

type FleetLimits = { pods: number; ceiling: number; callsMax?: number }

/** Where the parts of a fleet are. */
type FleetPlaces = { baseUrl: string; redisUrl: string; databaseUrl: string; model: ModelPlace | undefined }

/** A model that is not the operator's own: the simulator, or what a test has started. */
export type ModelPlace = { url: string; apiKey?: string }

/** The cell of a fleet unless `env` names another. */
export const CELL = 'main'
/** What the lease store adds to a pod's calls at most: SLOW_START_CALLS of a fresh pod and 20 of one whose event loop is late. */
const PENALTY_MAX_CALLS = SLOW_START_CALLS + 20
const KEY_OF_SIMULATOR = 'offline-model'

/** What all pods share. `env` is the operator's or the test's. */
export function sharedEnvironment(
  env: Readonly<Record<string, string>>,
  limits: FleetLimits,
  places: FleetPlaces,
): Record<string, string> {
  const { model } = places
  const defaults: Record<string, string> = {
    PUBLIC_BASE_URL: places.baseUrl,
    CELL,
    CEILING_CALLS: String(limits.ceiling),
    CALLS_MAX: String(limits.callsMax ?? callsMaxOf(limits)),
    ...secretUnless(env, 'STREAM_TOKEN_SECRET', () => randomBytes(32).toString('base64url')),
    ...secretUnless(env, 'TWILIO_AUTH_TOKEN', () => randomBytes(16).toString('hex')),
    ...secretUnless(env, 'ADMIN_TOKEN', () => randomBytes(24).toString('base64url')),
    ...env,
    REDIS_URL: places.redisUrl,
    DATABASE_URL: places.databaseUrl,
  }
  if (model === undefined) return defaults
  return { ...defaults, OPENAI_REALTIME_URL: model.url, OPENAI_API_KEY: model.apiKey ?? KEY_OF_SIMULATOR }
}

/** What one pod has of its own. */
export function podEnvironment({ name, host, port }: HaproxyPod): Record<string, string> {
  return { HOST: host, PORT: String(port), POD_NAME: name, POD_ADDRESS: `http://${host}:${port}` }
}

/** What one worker has of its own. No pod asks it, so that it has no address. */
export function workerEnvironment({ name, host, port }: HaproxyPod): Record<string, string> {
  return { HOST: host, PORT: String(port), POD_NAME: name }
}

/** [FE2] */
export function callsMaxOf({ pods, ceiling }: FleetLimits): number {
  return Math.ceil(ceiling / Math.max(1, pods - 1)) + PENALTY_MAX_CALLS
}

/** Whether `env` says where the model is. */
export function namesModel(env: Readonly<Record<string, string>>): boolean {
  const names = ['OPENAI_API_KEY', 'OPENAI_API_KEY_FILE', 'OPENAI_REALTIME_URL', 'AZURE_OPENAI_ENDPOINT']
  return names.some((name) => (env[name] ?? '') !== '')
}

/** A secret of the fleet's own where there is none, nor a file with one. */
function secretUnless(env: Readonly<Record<string, string>>, name: string, make: () => string): Record<string, string> {
  return env[name] || env[`${name}_FILE`] ? {} : { [name]: make() }
}
