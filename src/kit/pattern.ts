// Texts to compare bytes with, four at a time. Rules:
// BP1: a pattern is ASCII and has at least four characters; its last word may overlap the one before: only whole words are compared.
// BP2: patterns that are made together lie in one array: between two frames of a call everything leaves the nearest cache,
//      and each line that a frame touches is fetched again.

/** An ASCII text as little-endian words `words[first..last]`; the last one stands at `length - 4`. */
export type Pattern = {
  readonly words: Int32Array
  readonly first: number
  readonly last: number
  readonly length: number
}

/** Patterns of ASCII texts of four characters or more, in one array. Throws RangeError for a shorter one. */
export function patternsOf<const Texts extends readonly string[]>(...texts: Texts): { [I in keyof Texts]: Pattern } {
  const words: number[] = []
  const spans = texts.map((text) => {
    if (text.length < 4) throw new RangeError('a pattern has at least four characters')
    const bytes = Buffer.from(text, 'latin1')
    const first = words.length
    for (let at = 0; at < bytes.length - 4; at += 4) words.push(bytes.readInt32LE(at))
    words.push(bytes.readInt32LE(bytes.length - 4))
    return { first, last: words.length - 1, length: bytes.length }
  })
  const all = Int32Array.from(words)
  return spans.map((span) => ({ words: all, ...span })) as { [I in keyof Texts]: Pattern }
}

/** One pattern, of four characters or more. */
export function patternOf(text: string): Pattern {
  return patternsOf(text)[0]
}

/** Where `what` ends when it stands at `at` and ends not after `end`; -1 otherwise, and for a negative `at`. */
export function past(view: DataView, at: number, end: number, what: Pattern): number {
  const { words, last, length } = what
  if (at < 0 || at + length > end) return -1
  let i = at
  for (let word = what.first; word < last; word += 1, i += 4) if (view.getInt32(i, true) !== words[word]) return -1
  return view.getInt32(at + length - 4, true) === words[last] ? at + length : -1
}
