// Pools of a pod in told time, without sockets, for tests.
import assert from 'node:assert/strict'
import { type Limits, parseLimits } from '../../control/limits.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { ModelPools } from '../../model/pools/pools.ts'
import type { LinkLoss, Route, Routes } from '../../model/route.ts'
import { Metrics } from '../../ops/metrics.ts'

export const FAILED: LinkLoss = { code: 'SOCKET_LOST', fatal: false }
export const FULL: LinkLoss = { code: 'rate_limit_exceeded', fatal: false, isLimit: true, retryAfterMs: 5_000 }
export const WRONG_KEY: LinkLoss = { code: 'invalid_api_key', fatal: true }
export const RESUME = { isResume: true }
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function limitsOf(pools: object[]): Limits {
  const result = parseLimits(JSON.stringify({ pools }))
  assert.ok(result.kind === 'ok', JSON.stringify(result))
  return result.limits
}

export class Bench {
  readonly clock = new FakeClock(1)
  readonly metrics = new Metrics()
  readonly pools: ModelPools
  constructor(specs: Record<string, { callsMax?: number; weight?: number }>, random = () => 0) {
    const limits = limitsOf(Object.entries(specs).map(([pool, spec]) => ({ pool, callsMax: 100, ...spec })))
    const places = new Map(
      Object.keys(specs).map((pool) => [pool, { url: new URL(`ws://127.0.0.1/${pool}`), headers: { pool } }]),
    )
    this.pools = new ModelPools({ limits, places, clock: this.clock, log: silentLog, metrics: this.metrics, random })
  }
  routes(home?: string): Routes {
    return this.pools.routesOf(home, silentLog)
  }
  /** `ask`s of `pool` that are lost. */
  fail(pool: string, times: number, loss = FAILED): void {
    for (let i = 0; i < times; i += 1) {
      const link = this.pools.open(pool, { isResume: true, isForeign: false })!
      link.lost(loss)
      link.released()
    }
  }
}

export function go(routes: Routes, dial = RESUME): Route & { pool: string } {
  const way = routes.next(dial)
  if (way.kind === 'shed') assert.fail('shed')
  return { ...way.route, pool: String(way.route.headers.pool) }
}

/** Dials, loses and says where it was and what the call was told. */
export function lose(routes: Routes, loss: LinkLoss): [string, object] {
  const route = go(routes)
  const told = route.lost(loss)
  route.released()
  return [route.pool, told]
}
