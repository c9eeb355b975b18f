// Reading TypeScript without a compiler: enough to tell code from comments, strings and regular expressions. Rules:
// G1: all three views of a file have its length and its line breaks, so that an index means the same place in each.
// G2: `code` has comments blanked; `bare` has also the contents of strings, templates' text and regular expressions blanked.
// G3: code inside `${}` of a template stays code.

/** A file of the tree, read for the rules. */
export type Source = {
  /** From the project's root, with `/`. */
  path: string
  text: string
  code: string
  bare: string
}

/** One import or re-export. */
export type Import = { specifier: string; isTypeOnly: boolean; line: number }

/** After one of these a `/` begins a regular expression, not a division. */
const BEFORE_REGEX = /(^|[([{,;=:!&|?+\-*%<>~^}]|\b(return|typeof|case|in|of|do|else|void|await|yield|throw))$/

type Cursor = { text: string; code: string[]; bare: string[]; at: number }

/** Prepares a file for the rules. */
export function readSource(path: string, text: string): Source {
  const cursor: Cursor = { text, code: [...text.split('')], bare: [...text.split('')], at: 0 }
  readCode(cursor, false)
  return { path, text, code: cursor.code.join(''), bare: cursor.bare.join('') }
}

/** The line number of an index, from 1. */
export function lineAt(source: Source, index: number): number {
  return source.text.slice(0, index).split('\n').length
}

function blank(view: string[], from: number, to: number): void {
  for (let i = from; i < to; i++) if (view[i] !== '\n') view[i] = ' '
}

/** Reads code up to the end, or up to the `}` that closes a template's `${` when `isInTemplate`. */
function readCode(cursor: Cursor, isInTemplate: boolean): void {
  const { text } = cursor
  let depth = 0
  while (cursor.at < text.length) {
    const char = text[cursor.at]!
    const pair = text.slice(cursor.at, cursor.at + 2)
    if (pair === '//') skipComment(cursor, text.indexOf('\n', cursor.at))
    else if (pair === '/*') skipComment(cursor, text.indexOf('*/', cursor.at + 2) + 2)
    else if (char === "'" || char === '"') readQuoted(cursor, char)
    else if (char === '`') readTemplate(cursor)
    else if (char === '/' && isRegexHere(cursor)) readRegex(cursor)
    else {
      if (char === '{') depth++
      if (char === '}' && isInTemplate && depth-- === 0) return
      cursor.at++
    }
  }
}

function skipComment(cursor: Cursor, found: number): void {
  const end = found < 2 ? cursor.text.length : found
  blank(cursor.code, cursor.at, end)
  blank(cursor.bare, cursor.at, end)
  cursor.at = end
}

function readQuoted(cursor: Cursor, quote: string): void {
  const start = cursor.at++
  while (cursor.at < cursor.text.length && cursor.text[cursor.at] !== quote && cursor.text[cursor.at] !== '\n')
    cursor.at += cursor.text[cursor.at] === '\\' ? 2 : 1
  blank(cursor.bare, start + 1, cursor.at)
  cursor.at++
}

function readTemplate(cursor: Cursor): void {
  let textStart = ++cursor.at
  while (cursor.at < cursor.text.length && cursor.text[cursor.at] !== '`') {
    if (cursor.text.startsWith('${', cursor.at)) {
      blank(cursor.bare, textStart, cursor.at)
      cursor.at += 2
      readCode(cursor, true)
      textStart = ++cursor.at
    } else cursor.at += cursor.text[cursor.at] === '\\' ? 2 : 1
  }
  blank(cursor.bare, textStart, cursor.at)
  cursor.at++
}

function isRegexHere(cursor: Cursor): boolean {
  const lineStart = cursor.text.lastIndexOf('\n', cursor.at - 1) + 1
  return BEFORE_REGEX.test(cursor.code.slice(lineStart, cursor.at).join('').trimEnd())
}

function readRegex(cursor: Cursor): void {
  const start = cursor.at++
  let isInClass = false
  for (; cursor.at < cursor.text.length && cursor.text[cursor.at] !== '\n'; cursor.at++) {
    const char = cursor.text[cursor.at]
    if (char === '\\') cursor.at++
    else if (char === '[') isInClass = true
    else if (char === ']') isInClass = false
    else if (char === '/' && !isInClass) break
  }
  blank(cursor.bare, start + 1, cursor.at)
  cursor.at++
}

const STATIC_IMPORT = /\b(?:import|export)\b(?<clause>[^'"`;()]*?)\bfrom\s*(?<quote>['"])(?<specifier>[^'"]+)\k<quote>/g
const BARE_IMPORT = /\bimport\s*\(?\s*(?<quote>['"`])(?<specifier>[^'"`]+)\k<quote>/g

/**
 * The imports of a file: `import … from`, `export … from`, `import 'x'` and `import('x')`. An import counts as types only when
 * the whole statement does (`import type`): `import { type A }` still loads the module.
 */
export function readImports(source: Source): Import[] {
  const found: Import[] = []
  for (const match of source.code.matchAll(STATIC_IMPORT)) {
    if (!isKeyword(source, match.index)) continue
    const isTypeOnly = /^\s*type\b(?!\s*(,|from\b))/.test(match.groups!.clause!)
    found.push({ specifier: match.groups!.specifier!, isTypeOnly, line: lineAt(source, match.index) })
  }
  for (const match of source.code.matchAll(BARE_IMPORT)) {
    if (!isKeyword(source, match.index)) continue
    found.push({ specifier: match.groups!.specifier!, isTypeOnly: false, line: lineAt(source, match.index) })
  }
  return found
}

function isKeyword(source: Source, index: number): boolean {
  return /^(import|export)\b/.test(source.bare.slice(index, index + 7)) && !/[.\w$]/.test(source.bare[index - 1] ?? ' ')
}

/**
 * The arguments of a call whose `(` stands at `open`, as index ranges; undefined when the bracket never closes. Also reads the
 * properties of an object or the elements of an array.
 */
export function readArguments(source: Source, open: number): { from: number; to: number }[] | undefined {
  const ranges: { from: number; to: number }[] = []
  let depth = 0
  let from = open + 1
  for (let i = open; i < source.bare.length; i++) {
    const char = source.bare[i]!
    if ('([{'.includes(char)) depth++
    if (')]}'.includes(char) && --depth === 0) {
      if (source.bare.slice(from, i).trim() !== '') ranges.push({ from, to: i })
      return ranges
    }
    if (char === ',' && depth === 1) {
      ranges.push({ from, to: i })
      from = i + 1
    }
  }
  return undefined
}
