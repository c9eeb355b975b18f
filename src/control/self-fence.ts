// Whether a pod that cannot renew its leases gives up its calls. Pure. Rules:
// SF1: the age of the last success counts on the monotonic clock from before its request was sent.
// SF2: under ASK_AFTER_MS nothing is done; from then on the peers are asked, at most each ASK_EVERY_MS, how the store does for them.
// SF3: a pod fences itself only when its last success is FENCE_AFTER_MS old, peers have said `well` for WELL_FOR_MS without an
//      `away`, the last word is `well` and fresh, and a try that began after it has failed. A pod that was frozen, or whose
//      store has just come back, therefore tries before it gives up.
// SF4: a pod that is cut off alone is fenced FENCE_LATEST_MS after its last success at the latest, before its slots are granted
//      again (LEASE_TIMES.hardMs), as long as asking and trying keep their bounds.
// SF5: peers that say `away`, or none that answers, mean fail static: the calls stay.

/** What the peers say of the store; `unknown`: none answered. */
export type PeerWord = 'well' | 'away' | 'unknown'

export const ASK_AFTER_MS = 20_000
export const ASK_EVERY_MS = 5_000
export const FENCE_AFTER_MS = 45_000
export const WELL_FOR_MS = 10_000
export const WORD_FRESH_MS = 10_000
export const FENCE_LATEST_MS = 55_000
/** Bounds of one question to the peers, and of one try to renew. */
export const ASK_WITHIN_MS = 2_000
export const TRY_WITHIN_MS = 2_000

/** All times on the monotonic clock. */
export type FenceSight = {
  lastSuccessAtMs: number
  /** When the last try that failed began. */
  failedTryAtMs: number | undefined
  askedAtMs: number | undefined
  lastWord: PeerWord | undefined
  /** The first `well` since the last `away`. */
  wellSinceMs: number | undefined
  wellAtMs: number | undefined
}
export type FenceStep = 'go-on' | 'ask-peers' | 'try' | 'fence' | 'fail-static'

/** A sight that begins with a success at `nowMs`. */
export function freshSight(nowMs: number): FenceSight {
  return {
    lastSuccessAtMs: nowMs,
    failedTryAtMs: undefined,
    askedAtMs: undefined,
    lastWord: undefined,
    wellSinceMs: undefined,
    wellAtMs: undefined,
  }
}

/** A success at `startedAtMs` ends all suspicion. */
export function withSuccess(sight: FenceSight, startedAtMs: number): FenceSight {
  return freshSight(Math.max(sight.lastSuccessAtMs, startedAtMs))
}

/** What the peers said at `nowMs`. */
export function withWord(sight: FenceSight, word: PeerWord, nowMs: number): FenceSight {
  if (word === 'away') return { ...sight, lastWord: word, wellSinceMs: undefined, wellAtMs: undefined }
  if (word === 'unknown') return { ...sight, lastWord: word }
  const isUnbroken = sight.wellAtMs !== undefined && nowMs - sight.wellAtMs <= WORD_FRESH_MS
  return { ...sight, lastWord: word, wellAtMs: nowMs, wellSinceMs: isUnbroken ? sight.wellSinceMs : nowMs }
}

/** What to do at `nowMs`. */
export function decideFence(sight: FenceSight, nowMs: number): FenceStep {
  const ageMs = nowMs - sight.lastSuccessAtMs
  if (ageMs < ASK_AFTER_MS) return 'go-on'
  if (ageMs >= FENCE_AFTER_MS && arePeersWell(sight, nowMs)) {
    return (sight.failedTryAtMs ?? -Infinity) >= sight.wellAtMs! ? 'fence' : 'try'
  }
  if (sight.askedAtMs === undefined || nowMs - sight.askedAtMs >= ASK_EVERY_MS) return 'ask-peers'
  return ageMs >= FENCE_AFTER_MS ? 'fail-static' : 'go-on'
}

function arePeersWell({ lastWord, wellAtMs, wellSinceMs }: FenceSight, nowMs: number): boolean {
  if (lastWord !== 'well' || wellAtMs === undefined || wellSinceMs === undefined) return false
  return nowMs - wellAtMs <= WORD_FRESH_MS && nowMs - wellSinceMs >= WELL_FOR_MS
}
