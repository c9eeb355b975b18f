// Running the agent's bundle. Rules:
// AI1: loading has a bound: a top-level await that never settles is a failure that says so, not a process that hangs or ends.
// AI2: `process.exit` while the module loads is a failure that names the place; the process goes on to say it.
// AI3: whatever is thrown is told with the file and line where it was written, also when it is no Error. Files of the plane, of the
//      SDK and of packages are no such place. An import that does not hold has none of its own: the line that imports is named.
import { readFileSync } from 'node:fs'
import { registerHooks, setSourceMapsSupport } from 'node:module'
import { dirname, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { inspect } from 'node:util'

export type Exports = Readonly<Record<string, unknown>>
type ImportOutcome = { kind: 'loaded'; exports: Exports } | { kind: 'failed'; problem: string; cause: unknown }

const PLACE = /(?:\(|at (?:async )?)((?:file:\/\/)?\/[^()]*?):(\d+):(\d+)\)?$/
const SHOWN_CHARS_MAX = 300
/** The files of the plane itself. */
const OWN = `${dirname(dirname(fileURLToPath(import.meta.url)))}${sep}`
const NOT_FOUND = /^Cannot find (?:package|module) '([^']+)' imported from/
const NOT_EXPORTED =
  /(?:requested module '([^']+)' does not provide an export named '([^']+)'|Named export '([^']+)' not found\. The requested module '([^']+)')/

/** Codes of the bundles that are being loaded, by their URL: taken once. */
const bundles = new Map<string, string>()
let isRegistered = false
let loads = 0

/** Runs `code`, the bundle of `entry` and the other `files`, as a module; at most `loadMs` milliseconds. Never rejects. */
export async function importBundle(
  entry: string,
  code: string,
  loadMs: number,
  files: readonly string[] = [entry],
): Promise<ImportOutcome> {
  register()
  loads += 1
  const url = `${pathToFileURL(entry).href}?load=${loads}`
  bundles.set(url, code)
  const exits: ExitCalled[] = []
  watchExits(exits)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, loadMs, 'late')
  })
  try {
    const exports = await Promise.race([import(url) as Promise<Exports>, late])
    if (exits.length > 0) return failed(exits[0])
    if (exports !== 'late') return { kind: 'loaded', exports }
    const problem = `was not loaded after ${loadMs / 1_000} s: a top-level await does not end. Move what it waits for into createAgent, or raise AGENT_LOAD_MS.`
    return { kind: 'failed', problem, cause: undefined }
  } catch (error) {
    return failed(exits[0] ?? error, files)
  } finally {
    clearTimeout(timer)
    unwatchExits(exits)
    bundles.delete(url)
  }
}

/** The loads under way; each is told of an exit: whose code called it cannot be known. */
const watching = new Set<ExitCalled[]>()
/** What `process.exit` is while nothing is loaded. */
let resting = process.exit

function watchExits(exits: ExitCalled[]): void {
  watching.add(exits)
  process.exit = throwing((error) => {
    for (const one of watching) one.push(error)
  })
}

function unwatchExits(exits: ExitCalled[]): void {
  watching.delete(exits)
  if (watching.size === 0) process.exit = resting
}

/** From now on `process.exit` throws where it is called; `refused` is told where that was. */
export function refuseExits(refused: (what: string) => void): void {
  resting = throwing((error) => refused(describeThrown(error)))
  if (watching.size === 0) process.exit = resting
}

/** A `process.exit` that throws where it is called, once `tell` was told. */
function throwing(tell: (error: ExitCalled) => void): typeof process.exit {
  return (code) => {
    const error = new ExitCalled(code)
    tell(error)
    throw error
  }
}

/** Thrown where `process.exit` was called. */
export class ExitCalled extends Error {
  override name = 'ExitCalled'
  constructor(code: unknown) {
    super(`process.exit(${code === undefined ? '' : inspect(code)}) was called`)
  }
}

function failed(cause: unknown, files: readonly string[] = []): ImportOutcome {
  if (cause instanceof ExitCalled) {
    const problem = `ends the process while it loads: ${describeThrown(cause)}. Throw an Error that says what is missing.`
    return { kind: 'failed', problem, cause }
  }
  return { kind: 'failed', problem: `could not be loaded: ${describeThrown(cause, files)}`, cause }
}

/** What was thrown, on one line, with the place in the author's `files` where there is one (AI3). */
export function describeThrown(thrown: unknown, files: readonly string[] = []): string {
  if (!(thrown instanceof Error))
    return `it threw ${shown(inspect(thrown, { depth: 1, breakLength: Infinity }))}, which is no Error`
  const place = importPlaceOf(thrown, files) ?? placeOf(thrown)
  const name = thrown.name === 'Error' || thrown instanceof ExitCalled ? '' : `${thrown.name}: `
  return `${name}${shown(thrown.message)}${place === undefined ? '' : ` at ${place}`}`
}

function shown(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').replaceAll(/\?load=\d+/g, '')
  return line.length > SHOWN_CHARS_MAX ? `${line.slice(0, SHOWN_CHARS_MAX)}…` : line
}

/** The first place of the stack that is neither a package's nor the plane's. */
function placeOf(error: Error): string | undefined {
  return placesOf(error).find(({ isOwn }) => !isOwn)?.place
}

/** Was it the author's code that threw: does no file of the plane stand above it in the stack? */
export function isThrownByAgent(thrown: unknown): boolean {
  return thrown instanceof Error && placesOf(thrown)[0]?.isOwn === false
}

/** The places of the stack, the innermost first, without those in packages and in Node itself. */
function placesOf(error: Error): { place: string; isOwn: boolean }[] {
  return (error.stack ?? '').split('\n').flatMap((line) => {
    const [, file, row, column] = PLACE.exec(line) ?? []
    if (file === undefined) return []
    const path = file.startsWith('file:') ? fileURLToPath(file.replace(/\?.*$/, '')) : file
    if (path.includes(`${sep}node_modules${sep}`)) return []
    return [{ place: `${path}:${row}:${column}`, isOwn: path.startsWith(OWN) }]
  })
}

/** The line that imports what is not there: Node names the bundle, or code of its own. */
function importPlaceOf(error: Error, files: readonly string[]): string | undefined {
  const [, missing] = NOT_FOUND.exec(error.message) ?? []
  const [, module, name, commonName, commonModule] = NOT_EXPORTED.exec(error.message) ?? []
  const specifier = missing ?? module ?? commonModule
  if (specifier === undefined) return undefined
  for (const file of files) {
    const text = textOf(file)
    const at = text === undefined ? undefined : importAt(text, specifier, name ?? commonName)
    if (at === undefined) continue
    const before = text!.slice(0, at).split('\n')
    return `${file}:${before.length}:${before.at(-1)!.length + 1}`
  }
  return undefined
}

/** Where `text` imports `name` from `specifier`, or `specifier` at all. */
function importAt(text: string, specifier: string, name: string | undefined): number | undefined {
  for (const quote of ["'", '"', '`']) {
    const quoted = `${quote}${specifier}${quote}`
    for (let at = text.indexOf(quoted); at >= 0; at = text.indexOf(quoted, at + 1)) {
      const before = text.slice(0, at)
      if (!/(?:\bfrom|\bimport|\b(?:import|require)\s*\()\s*$/.test(before)) continue
      if (name === undefined || name === 'default') return at
      const begin = Math.max(before.lastIndexOf('import'), before.lastIndexOf('export'))
      const named = new RegExp(`(?<![\\w$])${name.replaceAll('$', '\\$')}(?![\\w$])`).exec(
        before.slice(Math.max(0, begin)),
      )
      if (named !== null) return Math.max(0, begin) + named.index
    }
  }
  return undefined
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function register(): void {
  if (isRegistered) return
  isRegistered = true
  setSourceMapsSupport(true)
  registerHooks({
    resolve: (specifier, context, nextResolve) =>
      bundles.has(specifier)
        ? { url: specifier, format: 'module', shortCircuit: true }
        : nextResolve(specifier, context),
    load(url, context, nextLoad) {
      const source = bundles.get(url)
      return source === undefined ? nextLoad(url, context) : { format: 'module', source, shortCircuit: true }
    },
  })
}
