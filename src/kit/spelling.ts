// Names that are spelt almost like a known one.

/** The known name that differs from `name` by case, by `_` and `-`, or by at most two letters (one where either name is short). */
export function nearlySpelt<Name extends string>(name: string, known: readonly Name[]): Name | undefined {
  const asked = bare(name)
  let best: { candidate: Name; away: number } | undefined
  for (const candidate of known) {
    const other = bare(candidate)
    const away = distance(asked, other)
    if (away > (Math.min(asked.length, other.length) < 5 ? 1 : 2)) continue
    if (best === undefined || away < best.away) best = { candidate, away }
  }
  return best?.candidate
}

/** A name without its case and separators. */
export const bare = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, '')

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}
