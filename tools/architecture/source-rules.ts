// Rules about single files and folders. Each function returns its breaches, one text each.
// X1: process.env is read only in src/config.ts, process.exit called only in src/main.ts (src/ only, tests apart).
// X3: names that mean nothing are not used for files or folders.
// X4: src/ has no default export.
// X5: src/call/ has no clock or timer of its own (tests apart): they are handed in.
// X6: no test is skipped, left to do, or run alone.
// X7: no test judges by a bare wall clock: what has to come is waited for COMES_MIN_MS or more, and an elapsed time is read from a watch that allows for
//     a busy machine (src/kit/testing/patience.ts). sim/ has no such watch and is left out.
// X10: what has to come is waited for by `until` of src/kit/testing/patience.ts (load/ and sim/ have what their own rooms give).
// X11: a command line is read by `Arguments` of sim/command-line.ts; parseArgs is called nowhere else.
import { lineAt, type Source } from './reader.ts'
import { isTest } from './walls.ts'

const EMPTY_NAMES = new Set(['util', 'utils', 'helper', 'helpers', 'manager', 'service', 'handler', 'handlers'])

function findAll(source: Source, pattern: RegExp, reason: string): string[] {
  return [...source.bare.matchAll(pattern)].map((match) => `${source.path}:${lineAt(source, match.index)}: ${reason}`)
}

const inSrc = (source: Source) => source.path.startsWith('src/')

const ENV = /\bprocess\s*\??\.\s*env\b|\bprocess\s*\[|[{,]\s*env\b[^{}]*\}\s*=\s*process\b/g
const EXIT = /\bprocess\s*\??\.\s*(?:exit|reallyExit|abort)\s*\(|[{,]\s*exit\b[^{}]*\}\s*=\s*process\b/g
const NAMED_FROM_PROCESS = /\bimport\s*\{[^}]*\}\s*from\s*['"](?:node:)?process['"]/g

/** X1. */
export function findProcessUse(source: Source): string[] {
  if (!inSrc(source) || isTest(source.path)) return []
  const found: string[] = []
  if (source.path !== 'src/config.ts') found.push(...findAll(source, ENV, 'process.env is read only in src/config.ts'))
  if (source.path !== 'src/main.ts') found.push(...findAll(source, EXIT, 'process.exit is called only in src/main.ts'))
  for (const match of source.code.matchAll(NAMED_FROM_PROCESS))
    if (source.bare.startsWith('import', match.index))
      found.push(`${source.path}:${lineAt(source, match.index)}: use the global process, so that its use can be seen`)
  return found
}

/** X3. */
export function findEmptyNames(paths: readonly string[]): string[] {
  const breaches = new Set<string>()
  for (const path of paths)
    for (const part of path.split('/'))
      for (const word of part.split(/[-._]/))
        if (EMPTY_NAMES.has(word.toLowerCase())) breaches.add(`${path}: the name "${word}" says nothing`)
  return [...breaches]
}

/** X4. */
export function findDefaultExports(source: Source): string[] {
  if (!inSrc(source)) return []
  return findAll(source, /\bexport\s+default\b|\bexport\s*\{[^}]*\bas\s+default\b/g, 'no default exports in src/')
}

const CLOCKS =
  /\bDate\s*\.\s*now\b|\bnew\s+Date\s*(?:\(\s*\)|(?!\s*\())|\bperformance\s*\.\s*now\b|\bprocess\s*\.\s*hrtime\b|(?<![\w$.]|function\s)(?:globalThis\s*\.\s*)?(?:setTimeout|setInterval|setImmediate)\s*\(/g

/** X5. */
export function findOwnClocks(source: Source): string[] {
  if (!source.path.startsWith('src/call/') || isTest(source.path)) return []
  const timers = /\bfrom\s*['"](?:node:)?(?:timers|timers\/promises|perf_hooks)['"]/g
  const imported = [...source.code.matchAll(timers)].filter((match) => source.bare.startsWith('from', match.index))
  return [
    ...findAll(source, CLOCKS, 'src/call/ has no clock of its own'),
    ...imported.map((match) => `${source.path}:${lineAt(source, match.index)}: src/call/ has no timer of its own`),
  ]
}

/** X6. */
export function findUnrunTests(source: Source): string[] {
  if (!isTest(source.path)) return []
  const pattern = /\b(?:test|it|describe|suite|t)\s*\.\s*(?:skip|todo|only)\b|[{,]\s*(?:skip|todo|only)\s*:/g
  return findAll(source, pattern, 'no test is skipped, left to do or run alone')
}

/** What a test waits for at the least before it says that it did not come. */
const COMES_MIN_MS = 10_000
const SHORT_WAIT =
  /\b(?:until|end|deadline)Ms = (?:performance|Date)\.now\(\) \+ (\d[\d_]*)\b|\bwithinMs = (\d[\d_]*)\b/g
const BARE_CLOCK = /\bassert\.ok\(\s*(?:performance|Date)\.now\(\) - \w+ </g

/** X7. */
export function findBareClocks(source: Source): string[] {
  if (source.path.startsWith('sim/') || !(isTest(source.path) || /^test\/|\/testing\//.test(source.path))) return []
  const waits = [...source.bare.matchAll(SHORT_WAIT)]
    .filter((match) => Number((match[1] ?? match[2])!.replaceAll('_', '')) < COMES_MIN_MS)
    .map(
      (match) =>
        `${source.path}:${lineAt(source, match.index)}: waits less than ${COMES_MIN_MS} ms for what has to come`,
    )
  return [
    ...waits,
    ...findAll(source, BARE_CLOCK, 'an elapsed time is read from startWatch (src/kit/testing/patience.ts)'),
  ]
}

const OWN_UNTIL = /\bfunction\s+(?:until|eventually|soon|waitUntil\w*|comes\w*)\s*[(<]/g

/** X10. */
export function findOwnUntils(source: Source): string[] {
  if (source.path === 'src/kit/testing/patience.ts' || /^(?:sim|load)\//.test(source.path)) return []
  if (!isTest(source.path) && !/^(?:test|chaos)\/|\/testing\//.test(source.path)) return []
  return findAll(source, OWN_UNTIL, 'use until of src/kit/testing/patience.ts')
}

/** X11. */
export function findOwnParsers(source: Source): string[] {
  if (source.path === 'sim/command-line.ts') return []
  return findAll(source, /\bparseArgs\s*\(/g, 'read the command line with Arguments of sim/command-line.ts')
}
