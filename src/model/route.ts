// Where the links of one call go: an address for each dial, and who is told what became of it. Rules:
// RO1: a route is told `accepted` when its link is configured, `lost` when its link was not made or has ended by itself, and
//      `released` when its link is over: once, always, and last.
// RO2: what the call is told of a loss is the routes' word: only they know whether another address may still serve it.
import type { ModelLoss } from '../call/ports.ts'

/** Why a link was lost. `isLimit`: the provider has refused it for its limit of sessions, or for want of quota. */
export type LinkLoss = ModelLoss & { isLimit?: boolean }

/** The way of one link. */
export interface Route {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  accepted(): void
  /** Returns what the call is told (RO2). */
  lost(loss: LinkLoss): ModelLoss
  released(): void
}

/** `shed`: there is no dial now; the call is told of `loss`. */
export type Way = { kind: 'go'; route: Route } | { kind: 'shed'; loss: ModelLoss }

/** The ways of one call. */
export interface Routes {
  /** `isResume`: the call has a conversation that goes on. `elsewhere`: another pool is wanted, if there is one. */
  next(dial: { isResume: boolean; elsewhere?: boolean }): Way
}

/** The loss as the call knows it. */
export function lossToTell({ code, fatal, retryAfterMs }: LinkLoss): ModelLoss {
  return { code, fatal, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}
