// Exports that no file imports. Rules:
// X8: an export of a .ts file is imported by another file, or is kept by name below, with the reason.
// X9: what only tests import is used by its own file too, or stands in test/, tools/ or a `testing/` folder, or is kept by name below.
import { posix } from 'node:path'
import { lineAt, type Source } from './reader.ts'
import { isTest } from './walls.ts'

/** Exports that stay although no code of the product imports them, and why. */
const KEPT: Readonly<Record<string, string>> = {
  'src/audio/g711.ts#decodeUlaw': 'tests listen with it; the other half of encodeUlaw',
  'src/control/self-fence.ts#FENCE_LATEST_MS': 'the bound of SF4, which its tests hold to what the timers give',
  'sim/speech/wav.ts#writePcmWav': 'tests make their recordings with it',
  'chaos/judging-run.ts#isRunning': 'tests look with it for what a run left behind',
}
/** Modules of agents: the plane loads them by path and takes these names. */
const AGENTS =
  /^(?:test|chaos)\/agents\/[\w-]+\.ts#(?:agent|billing|createAgent|default|onSession|options|toolEffects)$/

type Export = { name: string; line: number; isUsedInside: boolean }

const DECLARED =
  /\bexport\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:const|let|function\*?|class|type|interface)\s+(?<name>[\w$]+)/g
const LISTED = /\bexport\s+(?:type\s+)?\{(?<list>[^}]*)\}/g
const DEFAULT = /\bexport\s+default\b/g
const IMPORTED = /\b(?:import|export)\s+(?<clause>[^'"`;()]*?)\bfrom\s*(?<quote>['"])(?<specifier>\.[^'"]+)\k<quote>/g
/** `import('./a.ts')` with the names that are taken at once, if any. */
const LOADED =
  /(?:\{(?<list>[^{}]*)\}\s*=\s*\(?\s*await\s+)?\bimport\s*\(\s*(?<quote>['"`])(?<specifier>\.[^'"`]+)\k<quote>\s*\)(?:\)?\s*\.\s*(?<member>[\w$]+))?/g

/** The names of `a, type b as c`: as the other file knows them, or as this one does. */
function namesOf(list: string, side: 'outer' | 'inner'): string[] {
  return list
    .split(',')
    .map((one) => one.trim().replace(/^type\s+/, ''))
    .filter((one) => one !== '')
    .map((one) => one.split(/\s+as\s+|\s*:\s*/))
    .map((words) => (side === 'outer' ? words[0]! : words.at(-1)!).trim())
}

function exportsOf(source: Source): Export[] {
  const found: Export[] = []
  const add = (name: string, index: number) =>
    found.push({ name, line: lineAt(source, index), isUsedInside: wordCount(source, name) > 1 })
  for (const match of source.bare.matchAll(DECLARED)) add(match.groups!.name!, match.index)
  for (const match of source.bare.matchAll(LISTED))
    for (const name of namesOf(match.groups!.list!, 'inner')) add(name, match.index)
  for (const match of source.bare.matchAll(DEFAULT)) add('default', match.index)
  return found
}

function wordCount(source: Source, name: string): number {
  return (
    source.bare.match(new RegExp(`(?<![\\w$])(?<!(?<!\\.\\.)\\.)${name.replaceAll('$', '\\$')}(?![\\w$])`, 'g'))
      ?.length ?? 0
  )
}

/** What a file takes of others: path → names; `*` is all of it. */
function takenBy(source: Source): [path: string, names: string[]][] {
  const taken: [string, string[]][] = []
  const at = (specifier: string) => posix.join(posix.dirname(source.path), specifier)
  for (const match of source.code.matchAll(IMPORTED)) {
    if (source.bare[match.index] !== source.code[match.index]) continue
    const { clause, specifier } = match.groups!
    const list = /\{(?<list>[^}]*)\}/.exec(clause!)?.groups?.list
    const names = list === undefined ? [] : namesOf(list, 'outer')
    const before = clause!
      .replace(/^\s*type\b/, '')
      .replace(/\{[^}]*\}/, '')
      .replace(',', '')
      .trim()
    if (before.startsWith('*')) names.push('*')
    else if (before !== '') names.push('default')
    taken.push([at(specifier!), names])
  }
  for (const match of source.code.matchAll(LOADED)) {
    const { list, member, specifier } = match.groups!
    const names =
      list !== undefined ? namesOf(list, 'outer') : member !== undefined && member !== 'then' ? [member] : ['*']
    taken.push([at(specifier!), names])
  }
  return taken
}

/** The breaches of X8 and X9 over the whole tree. */
export function findDeadExports(sources: readonly Source[]): string[] {
  const users = new Map<string, Set<string>>()
  for (const source of sources)
    for (const [path, names] of takenBy(source))
      for (const name of names) {
        const key = `${path}#${name}`
        users.set(key, (users.get(key) ?? new Set()).add(source.path))
      }
  const found: string[] = []
  for (const source of sources) {
    if (!source.path.endsWith('.ts')) continue
    for (const { name, line, isUsedInside } of exportsOf(source)) {
      const key = `${source.path}#${name}`
      if (key in KEPT || AGENTS.test(key)) continue
      const by = [...(users.get(key) ?? []), ...(users.get(`${source.path}#*`) ?? [])]
      const where = `${source.path}:${line}: ${name}`
      if (by.length === 0)
        found.push(`${where} is exported and imported nowhere${isUsedInside ? '' : ', nor used here'}`)
      else if (!isUsedInside && by.every(isTest) && !isForTests(source.path))
        found.push(`${where} is used by tests only`)
    }
  }
  return found
}

/** Tests and their makers; a tool may be there for a test alone. */
const isForTests = (path: string): boolean => isTest(path) || /^(?:test|tools)\/|\/(?:testing|test)\//.test(path)
