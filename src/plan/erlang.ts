// Erlang's two formulas: what a group of servers does with random arrivals. Rules:
// EL1: blocking B(n, a) by the recursion 1/B(n) = 1 + n/a · 1/B(n−1), in which nothing grows beyond a double but the inverse of a
//      probability that is zero for every purpose; no factorial and no power is ever formed.
// EL2: waiting C(n, a) follows from B; at a load of n Erlang or more everybody waits, and no mean wait exists.
// EL3: no load blocks nobody, and no server blocks everybody.

/** Servers counted at most: one step of the recursion each. */
export const SERVERS_MAX = 10_000_000

function check(servers: number, erlangs: number): void {
  if (!Number.isInteger(servers) || servers < 0 || servers > SERVERS_MAX)
    throw new RangeError(`servers must be a whole number from 0 to ${SERVERS_MAX}`)
  if (!Number.isFinite(erlangs) || erlangs < 0) throw new RangeError('erlangs must be a finite number, 0 or more')
}

/**
 * The share of calls that find all `servers` busy and go away, when `erlangs` (mean calls at once, were none refused) are offered.
 * @throws RangeError for servers that are no whole number from 0 to SERVERS_MAX, or a load that is negative or not finite.
 */
export function erlangB(servers: number, erlangs: number): number {
  check(servers, erlangs)
  if (servers === 0) return 1
  if (erlangs === 0) return 0
  let inverse = 1
  for (let n = 1; n <= servers; n += 1) {
    inverse = 1 + (n / erlangs) * inverse
    if (inverse === Number.POSITIVE_INFINITY) return 0
  }
  return 1 / inverse
}

/** The share of calls that must wait when those who find all servers busy stay until one is free. @throws RangeError as erlangB. */
export function erlangC(servers: number, erlangs: number): number {
  check(servers, erlangs)
  if (erlangs >= servers) return erlangs === 0 && servers > 0 ? 0 : 1
  const blocked = erlangB(servers, erlangs)
  return blocked / (1 - (erlangs / servers) * (1 - blocked))
}

/** Mean wait of those who wait, in seconds; undefined when the line grows for ever. `holdS`: mean length of a call, seconds. */
export function meanWaitS(servers: number, erlangs: number, holdS: number): number | undefined {
  check(servers, erlangs)
  return erlangs >= servers ? undefined : holdS / (servers - erlangs)
}
