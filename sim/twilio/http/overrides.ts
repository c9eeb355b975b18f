// Connection overrides in a webhook URL's fragment: #ct=…&rt=…&tt=…&rc=…&rp=…
// O1: the fragment is neither sent nor signed.
// O2: a value outside its range is brought to the nearest bound; an unknown policy is reported as 11243 and ignored.

const TOTAL_MS_MAX = 15_000

export type RetryCause = '4xx' | '5xx' | 'ct' | 'rt'
export type Overrides = {
  connectMs: number
  readMs: number
  totalMs: number
  retriesMax: number
  retryOn: ReadonlySet<RetryCause>
  warnings: number[]
}

const CAUSES: readonly RetryCause[] = ['4xx', '5xx', 'ct', 'rt']

function bounded(text: string | null, low: number, high: number, usual: number): number {
  if (text === null) return usual
  const value = Number(text)
  return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : usual
}

/** The overrides of a URL; the documented defaults where it has none. */
export function overridesOf(url: string): Overrides {
  const at = url.indexOf('#')
  const fragment = new URLSearchParams(at < 0 ? '' : url.slice(at + 1))
  const retryOn = new Set<RetryCause>()
  const warnings: number[] = []
  for (const word of (fragment.get('rp') ?? 'ct').split(',')) {
    const cause = CAUSES.find((known) => known === word.trim())
    if (word.trim() === 'all') for (const known of CAUSES) retryOn.add(known)
    else if (cause !== undefined) retryOn.add(cause)
    else warnings.push(11243)
  }
  return {
    connectMs: bounded(fragment.get('ct'), 100, 10_000, 5_000),
    readMs: bounded(fragment.get('rt'), 100, 15_000, 15_000),
    totalMs: bounded(fragment.get('tt'), 100, TOTAL_MS_MAX, TOTAL_MS_MAX),
    retriesMax: Math.floor(bounded(fragment.get('rc'), 0, 5, 1)),
    retryOn,
    warnings,
  }
}
