// Cutting text that people said, in any language. Rules:
// GC1: text is cut between what a reader takes for two characters (grapheme clusters, Unicode UAX #29), never inside one: no half of a surrogate pair, no
//      letter without its marks, no half of a joined emoji.
// GC2: where words can be told apart (spaces, or the dictionaries of Thai, Chinese, Japanese and others), a cut goes back to the end of a word, unless more
//      than half of the text would be lost: one long word is cut inside.

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const words = new Intl.Segmenter(undefined, { granularity: 'word' })
/** A grapheme cluster longer than this is cut all the same (text that stacks marks without end). */
const GRAPHEME_MAX_CHARS = 64

/** The last boundary between two graphemes of `text` at or before `at`, in UTF-16 units. [GC1] */
export function graphemeFloor(text: string, at: number): number {
  if (at <= 0) return 0
  if (at >= text.length) return text.length
  // A window is enough, since clusters are short; it begins at a boundary, or at a place that a cluster cannot reach over.
  const from = Math.max(0, at - GRAPHEME_MAX_CHARS)
  const segment = graphemes.segment(text.slice(from, at + GRAPHEME_MAX_CHARS)).containing(at - from)
  const start = segment === undefined ? at : from + segment.index
  return start > from || from === 0 ? start : at
}

/** `text` with at most `maxChars` UTF-16 units. [GC1] */
export function clip(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : text.slice(0, graphemeFloor(text, maxChars))
}

/** The part of `text` up to `share` (0 to 1) of its length, at the end of a word where there is one. [GC1][GC2] */
export function firstShare(text: string, share: number): string {
  if (share >= 1) return text
  const at = graphemeFloor(text, Math.round(text.length * Math.max(0, share)))
  const inWord = words.segment(text).containing(at)
  const wordEnd = inWord === undefined || inWord.index === at ? at : inWord.index
  const kept = text.slice(0, wordEnd).trimEnd()
  return kept.length * 2 >= at ? kept : text.slice(0, at)
}
