// What the author writes into `new RealtimeAgent({ … })`. The SDK drops an option that it does not know, and the agent shows no
// trace of it: only the source does. A reading that loses its way ends without a word; what it finds is a warning, never a refusal.
import { nearlySpelt } from '../kit/spelling.ts'

/** An option that the SDK drops; `line` and `column` begin at 1. */
type UnknownKey = { name: string; nearest: string | undefined; line: number; column: number }

const KNOWN = [
  ...['name', 'instructions', 'prompt', 'handoffDescription', 'handoffs', 'model', 'modelSettings', 'tools'],
  ...['mcpServers', 'mcpConfig', 'inputGuardrails', 'outputGuardrails', 'outputType', 'toolUseBehavior'],
  ...['resetToolChoice', 'handoffOutputTypeWarningEnabled', 'voice'],
] as const
const BEGIN = /\bnew\s+(?:\w+\.)?RealtimeAgent\s*(?:<[^(){}]{0,200}>)?\s*\(\s*\{/g
const KEY = /\s*(?:async\s+)?(?:([A-Za-z_$][\w$]*)|'([^'\n]*)'|"([^"\n]*)")\s*(?=[:,}(])/y
const CLOSING: Readonly<Record<string, string>> = { '{': '}', '[': ']', '(': ')' }

/** Options in `source` that no RealtimeAgent has. */
export function unknownAgentKeys(source: string): UnknownKey[] {
  const found: UnknownKey[] = []
  for (const match of source.matchAll(BEGIN)) {
    for (const { name, at } of keysFrom(source, match.index + match[0].length)) {
      if ((KNOWN as readonly string[]).includes(name)) continue
      const before = source.slice(0, at).split('\n')
      const nearest = nearlySpelt(name, KNOWN)
      found.push({ name, nearest, line: before.length, column: before.at(-1)!.length + 1 })
    }
  }
  return found
}

/** The keys of the object whose brace ends at `begin`; none when its end is not found. */
function keysFrom(source: string, begin: number): { name: string; at: number }[] {
  const keys: { name: string; at: number }[] = []
  const open = ['}']
  let isKeyNext = true
  for (let at = begin; at < source.length; ) {
    const skipped = skipBlank(source, at)
    if (skipped !== at) {
      at = skipped
      continue
    }
    if (open.length === 1 && isKeyNext) {
      isKeyNext = false
      KEY.lastIndex = at
      const key = KEY.exec(source)
      if (key !== null) {
        keys.push({ name: key[1] ?? key[2] ?? key[3]!, at: at + key[0].search(/\S/) })
        at += key[0].length
        continue
      }
    }
    const char = source[at]!
    if (char === "'" || char === '"' || char === '`') at = skipText(source, at)
    else {
      if (CLOSING[char] !== undefined) open.push(CLOSING[char])
      else if (char === open.at(-1)) open.pop()
      if (open.length === 0) return keys
      if (char === ',' && open.length === 1) isKeyNext = true
      at += 1
    }
  }
  return []
}

/** Past white space and a comment. */
function skipBlank(source: string, at: number): number {
  if (source.startsWith('//', at)) return endOf(source, '\n', at)
  if (source.startsWith('/*', at)) return endOf(source, '*/', at + 2)
  return /\s/.test(source[at]!) ? at + 1 : at
}

/** Past a text that begins at `at`; what a template computes counts as text. */
function skipText(source: string, at: number): number {
  const quote = source[at]!
  for (let next = at + 1; next < source.length; next += 1) {
    if (source[next] === '\\') next += 1
    else if (source[next] === quote) return next + 1
  }
  return source.length
}

function endOf(source: string, mark: string, from: number): number {
  const at = source.indexOf(mark, from)
  return at < 0 ? source.length : at + mark.length
}
