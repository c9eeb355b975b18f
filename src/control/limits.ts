// The limits of a cell: pools, tenants and their numbers, reserve and queue, read from a JSON file. Rules:
// LI1: all problems are reported at once, each by its path in the file with its fix; a name that is not known is a problem.
// LI2: without a file there is one pool `default` with the ceiling that is given, and every call is of the tenant `default`.
// LI3: what the tenants are guaranteed together fits into the limit less the reserve, or the promise could not be kept.
// LI4: a number (E.164) belongs to one tenant; every number that is not listed belongs to `default`.
// LI5: the file, its pools, tenants and numbers are bounded.
// LI6: a pool may name where it is; its key is never in the file, only the name of the environment variable that holds it.
// LI7: the file's longest wait stands before QUEUE_WAIT_MAX_MS when the file names one.
import { readFileSync, statSync } from 'node:fs'
import { messageOf } from '../kit/errors.ts'
import { amountAt, type Found, listAt, nameAt, objectAt, type Problems, shown, textAt } from './limits-reader.ts'
import type { CellLimits, PoolLimit, TenantLimit } from './ports.ts'
import type { TenantBudget } from './spending.ts'

export const FILE_MAX_BYTES = 4_194_304
export const POOLS_MAX = 64
export const TENANTS_MAX = 10_000
export const NUMBERS_MAX = 100_000
export const CALLS_MAX = 1_000_000
const DEFAULT_NAME = 'default'
const WAIT_MAX_MS = 120_000
/** Callers who are served within WAIT_MAX_MS when a call lasts 180 s, doubled: a longer queue waits in vain. */
const QUEUE_PER_CALL = (2 * WAIT_MAX_MS) / 180_000
const E164 = /^\+[1-9]\d{6,14}$/

/** One thing to mend in the file; `path` is like `tenants[2].burst`, or empty for the whole file. */
export type LimitProblem = { path: string; problem: string; fix: string }

/** Where a pool is. `keyVariable`: the environment variable with its key, or with `_FILE` the file that holds it. */
export type PoolEndpoint =
  | { kind: 'openai'; url: string | undefined; model: string | undefined; keyVariable: string }
  | { kind: 'azure'; endpoint: string; deployment: string; keyVariable: string }

export type Limits = {
  cell: CellLimits
  /** By pool; a pool that is not listed is at the plane's own provider. */
  endpoints: ReadonlyMap<string, PoolEndpoint>
  /** The longest wait in the queue, ms; undefined: the file does not say. */
  waitMaxMs: number | undefined
  /** Whose our own number in a call is (E.164): the dialled one of an inbound call, the calling one of an outbound call. */
  tenantOf: (ownNumber: string) => string
  /** Our own numbers, as far as the file names them. */
  ownNumbers: readonly string[]
  /** What a tenant may spend in a day, as far as the file says. */
  budgetOf: (tenant: string) => TenantBudget
  /** The file bounds what somebody spends: prices are needed. */
  needsPrices: boolean
}
type LimitsResult = { kind: 'ok'; limits: Limits } | { kind: 'invalid'; problems: LimitProblem[] }

const NO_BUDGET: TenantBudget = { minutes: undefined, money: undefined }

/** The limits without a file: `callsMax` sessions in one pool. */
export function defaultLimits(callsMax: number): Limits {
  const cell: CellLimits = {
    pools: [{ pool: DEFAULT_NAME, callsMax, weight: 1, connectsPerSecond: connectsOf(callsMax) }],
    tenants: [],
    otherTenants: { guaranteed: 0, burst: callsMax, weight: 1 },
    reserve: { inbound: 0, outbound: 0 },
    queueMax: Math.ceil(QUEUE_PER_CALL * callsMax),
  }
  return {
    cell,
    endpoints: new Map(),
    waitMaxMs: undefined,
    tenantOf: () => DEFAULT_NAME,
    ownNumbers: [],
    budgetOf: () => NO_BUDGET,
    needsPrices: false,
  }
}

/** Reads the limits file at `path`. */
export function readLimitsFile(path: string): LimitsResult {
  const broken = (problem: string, fix: string): LimitsResult => ({
    kind: 'invalid',
    problems: [{ path: '', problem, fix }],
  })
  try {
    const found = statSync(path)
    if (!found.isFile()) return broken('is no file', 'name a JSON file')
    if (found.size > FILE_MAX_BYTES) return broken(`is larger than ${FILE_MAX_BYTES} bytes`, 'make it smaller')
    return parseLimits(readFileSync(path, 'utf8'))
  } catch (error) {
    return broken(`cannot be read: ${messageOf(error)}`, 'name a file that exists and that this user may read')
  }
}

/** Reads the limits from JSON text. */
export function parseLimits(text: string): LimitsResult {
  const problems: LimitProblem[] = []
  const add: Problems = (path, problem, fix) => problems.push({ path, problem, fix })
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch (error) {
    add('', `is no JSON: ${messageOf(error)}`, 'write one JSON object')
    return { kind: 'invalid', problems }
  }
  const limits = assemble(root, add)
  return problems.length > 0 || limits === undefined ? { kind: 'invalid', problems } : { kind: 'ok', limits }
}

/** The same limits with the pools' ceilings lowered to what was learnt (ConnectThrottle.ceilingOf). */
export function loweredLimits(cell: CellLimits, ceilingOf: (pool: string) => number): CellLimits {
  const lower = (pool: PoolLimit): PoolLimit => {
    const ceiling = ceilingOf(pool.pool)
    return ceiling < pool.callsMax ? { ...pool, ceiling } : pool
  }
  return { ...cell, pools: cell.pools.map(lower) }
}

const ROOT_NAMES = ['pools', 'tenants', 'otherTenants', 'reserve', 'queueMax', 'waitMaxMs']

function assemble(root: unknown, add: Problems): Limits | undefined {
  const found = objectAt(root, '', ROOT_NAMES, add)
  if (found === undefined) return undefined
  let arePoolsRight = true
  const endpoints = new Map<string, PoolEndpoint>()
  const pools = poolsOf(found, endpoints, (path, problem, fix) => {
    arePoolsRight = false
    add(path, problem, fix)
  })
  // Wrong pools have no sum to hold the rest against.
  const limit = arePoolsRight ? pools.reduce((sum, { callsMax }) => sum + callsMax, 0) : CALLS_MAX
  const numbers = new Map<string, string>()
  const budgets = new Map<string, TenantBudget>()
  const tenants = tenantsOf(found, limit, numbers, budgets, add)
  const reserve = reserveOf(found, limit, add)
  const otherTenants = quotaAt(found, 'otherTenants', limit, add)
  const queueMax = amountAt(
    found,
    'queueMax',
    { min: 0, max: CALLS_MAX, fallback: Math.ceil(QUEUE_PER_CALL * limit) },
    add,
  )
  const isWaitNamed = found.fields.waitMaxMs !== undefined
  const waitMaxMs = isWaitNamed
    ? amountAt(found, 'waitMaxMs', { min: 1_000, max: 3_600_000, fallback: undefined }, add)
    : undefined
  checkGuarantees(tenants, limit, reserve.inbound, add)
  const cell: CellLimits = { pools, tenants, otherTenants, reserve, queueMax }
  const tenantOf = (ownNumber: string): string => numbers.get(ownNumber) ?? DEFAULT_NAME
  return {
    cell,
    endpoints,
    waitMaxMs,
    tenantOf,
    ownNumbers: [...numbers.keys()],
    ...budgetsOf(budgets, found, add),
  }
}

function poolsOf(root: Found, endpoints: Map<string, PoolEndpoint>, add: Problems): PoolLimit[] {
  const names = new Set<string>()
  const entries = listAt(root, 'pools', POOLS_MAX, add)
  if (entries.length === 0) add('pools', 'is missing or empty', 'give at least one pool with its callsMax')
  return entries.flatMap(([value, path]) => {
    const found = objectAt(value, path, ['pool', 'callsMax', 'weight', 'connectsPerSecond', 'endpoint'], add)
    if (found === undefined) return []
    const callsMax = amountAt(found, 'callsMax', { min: 1, max: CALLS_MAX, fallback: undefined }, add)
    const pool = nameAt(found, 'pool', names, add)
    const endpoint = endpointAt(found, add)
    if (endpoint !== undefined) endpoints.set(pool, endpoint)
    return [
      {
        pool,
        callsMax,
        weight: amountAt(found, 'weight', { min: 0.001, max: 1_000, fallback: 1, isFraction: true }, add),
        connectsPerSecond: amountAt(
          found,
          'connectsPerSecond',
          { min: 0.1, max: 10_000, fallback: connectsOf(callsMax), isFraction: true },
          add,
        ),
      },
    ]
  })
}

const MODEL = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/
const VARIABLE = /^[A-Z][A-Z0-9_]{0,99}$/
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

const NAMED = { isRight: (text: string) => MODEL.test(text), words: 'a name of letters, digits and . _ : / -' }
const KEY = {
  isRight: (text: string) => VARIABLE.test(text),
  words: 'the NAME of an environment variable, not the key',
  isHidden: true,
}

/** The endpoint of a pool; undefined when it names none, or a wrong one. */
function endpointAt(pool: Found, add: Problems): PoolEndpoint | undefined {
  const value = pool.fields.endpoint
  if (value === undefined) return undefined
  const path = `${pool.path}.endpoint`
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
  if (kind !== 'openai' && kind !== 'azure') {
    add(`${path}.kind`, kind === undefined ? 'is missing' : `cannot be ${shown(kind)}`, 'write "openai" or "azure"')
    return undefined
  }
  if (kind === 'openai') {
    const found = objectAt(value, path, ['kind', 'url', 'model', 'keyVariable'], add)!
    const url = textAt(found, 'url', { ...addressOf('ws'), isNeeded: false }, add)
    const model = textAt(found, 'model', { ...NAMED, isNeeded: false }, add)
    return { kind, url, model, keyVariable: textAt(found, 'keyVariable', { ...KEY, isNeeded: true }, add) ?? '' }
  }
  const found = objectAt(value, path, ['kind', 'endpoint', 'deployment', 'keyVariable'], add)!
  const endpoint = textAt(found, 'endpoint', { ...addressOf('http'), isNeeded: true }, add) ?? ''
  const deployment = textAt(found, 'deployment', { ...NAMED, isNeeded: true }, add) ?? ''
  return {
    kind,
    endpoint,
    deployment,
    keyVariable: textAt(found, 'keyVariable', { ...KEY, isNeeded: true }, add) ?? '',
  }
}

/** A URL with TLS, or without to this machine; no user name, no password, no # part. */
function addressOf(scheme: 'ws' | 'http'): { isRight: (text: string) => boolean; words: string; isHidden: boolean } {
  const isRight = (text: string): boolean => {
    if (!URL.canParse(text)) return false
    const { protocol, hostname, username, password, hash } = new URL(text)
    const isSafe = protocol === `${scheme}s:` || (protocol === `${scheme}:` && LOOPBACK.test(hostname))
    return isSafe && hostname !== '' && username === '' && password === '' && hash === ''
  }
  const words = `a URL that begins with ${scheme}s:// (${scheme}:// only to loopback), without a password`
  return { isRight, words, isHidden: true }
}

const QUOTA_NAMES = ['guaranteed', 'burst', 'weight', 'minutesPerDay', 'moneyPerDay']
const AMOUNT_MAX = 1_000_000_000

/** What a tenant may spend in a day; what is left out is not bounded here. */
function budgetOf(found: Found, add: Problems): TenantBudget {
  const amount = (name: string): number | undefined =>
    found.fields[name] === undefined
      ? undefined
      : amountAt(found, name, { min: 0.001, max: AMOUNT_MAX, fallback: undefined, isFraction: true }, add)
  return { minutes: amount('minutesPerDay'), money: amount('moneyPerDay') }
}

function tenantsOf(
  root: Found,
  limit: number,
  numbers: Map<string, string>,
  budgets: Map<string, TenantBudget>,
  add: Problems,
): TenantLimit[] {
  const names = new Set<string>()
  return listAt(root, 'tenants', TENANTS_MAX, add).flatMap(([value, path]) => {
    const found = objectAt(value, path, ['tenant', 'numbers', ...QUOTA_NAMES], add)
    if (found === undefined) return []
    const tenant = nameAt(found, 'tenant', names, add)
    budgets.set(tenant, budgetOf(found, add))
    for (const [number, at] of listAt(found, 'numbers', NUMBERS_MAX, add)) takeNumber(number, at, tenant, numbers, add)
    return [{ tenant, ...quotaOf(found, limit, add) }]
  })
}

/** By tenant; those that are not listed have what `otherTenants` says. */
function budgetsOf(
  budgets: ReadonlyMap<string, TenantBudget>,
  root: Found,
  add: Problems,
): Pick<Limits, 'budgetOf' | 'needsPrices'> {
  const found = objectAt(root.fields.otherTenants ?? {}, 'otherTenants', QUOTA_NAMES, () => {})
  const others = found === undefined ? NO_BUDGET : budgetOf(found, add)
  const needsPrices = [...budgets.values(), others].some(({ money }) => money !== undefined)
  return { budgetOf: (tenant) => budgets.get(tenant) ?? others, needsPrices }
}

function takeNumber(number: unknown, path: string, tenant: string, numbers: Map<string, string>, add: Problems): void {
  if (typeof number !== 'string' || !E164.test(number)) {
    add(path, `cannot be ${shown(number)}`, 'write a number in E.164: + and 7 to 15 digits, without spaces')
  } else if (numbers.has(number)) {
    add(path, `is also a number of the tenant ${numbers.get(number)}`, 'leave it with one tenant')
  } else if (numbers.size >= NUMBERS_MAX) {
    add(path, `is more than the ${NUMBERS_MAX} numbers of a cell`, 'divide the tenants between cells')
  } else numbers.set(number, tenant)
}

function quotaOf(found: Found, limit: number, add: Problems): Omit<TenantLimit, 'tenant'> {
  const guaranteed = amountAt(found, 'guaranteed', { min: 0, max: CALLS_MAX, fallback: 0 }, add)
  const burst = amountAt(found, 'burst', { min: 0, max: CALLS_MAX, fallback: limit }, add)
  const weight = amountAt(found, 'weight', { min: 0.001, max: 1_000, fallback: 1, isFraction: true }, add)
  if (guaranteed > burst) {
    add(`${found.path}.guaranteed`, `is ${guaranteed}, more than the burst ${burst}`, 'make it the burst or less')
  }
  return { guaranteed, burst, weight }
}

function quotaAt(root: Found, name: string, limit: number, add: Problems): Omit<TenantLimit, 'tenant'> {
  const value = root.fields[name] ?? {}
  const found = objectAt(value, name, QUOTA_NAMES, add)
  return found === undefined ? { guaranteed: 0, burst: limit, weight: 1 } : quotaOf(found, limit, add)
}

function reserveOf(root: Found, limit: number, add: Problems): CellLimits['reserve'] {
  const found = objectAt(root.fields.reserve ?? {}, 'reserve', ['inbound', 'outbound'], add)
  if (found === undefined) return { inbound: 0, outbound: 0 }
  const inbound = amountAt(found, 'inbound', { min: 0, max: CALLS_MAX, fallback: 0 }, add)
  const outbound = amountAt(found, 'outbound', { min: 0, max: CALLS_MAX, fallback: inbound }, add)
  if (outbound < inbound) {
    add('reserve.outbound', `is ${outbound}, less than that of inbound calls`, `make it ${inbound} or more`)
  }
  if (inbound >= limit) {
    add('reserve.inbound', `is ${inbound}: the pools together bear ${limit}, no call could enter`, 'make it smaller')
  }
  return { inbound, outbound }
}

function checkGuarantees(tenants: readonly TenantLimit[], limit: number, reserve: number, add: Problems): void {
  const sum = tenants.reduce((total, { guaranteed }) => total + guaranteed, 0)
  if (sum <= limit - reserve) return
  const problem = `guarantee ${sum} calls together; the pools bear ${limit}, of which ${reserve} are reserved`
  add('tenants', problem, `lower the guarantees to ${Math.max(0, limit - reserve)} in sum, or raise the pools`)
}

/** A pool is filled within half a minute, but no faster than one session a second at least. */
function connectsOf(callsMax: number): number {
  return Math.max(1, Math.ceil(callsMax / 30))
}
