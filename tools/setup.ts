// The set-up step: brings what the tests or benches need beyond npm (tools/needs.ts). Rules:
// S1: as root on Debian it installs what is missing; otherwise it names the one command to run and fails.
// S2: it never skips: the outcome is `ready` only when every probe exists afterwards.
// Alone: `node tools/setup.ts [test|bench]`.
import './node-version.mjs'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type AptOptions, type AptOutcome, installPackages } from './apt.ts'
import { exitCodeOf } from './child.ts'
import { readCommandLine } from './command-line.ts'
import { type Audience, adviceWithoutApt, commandFor, findMissing, type Need } from './needs.ts'
import { startProgress } from './progress.ts'

const USAGE = `node tools/setup.ts [test|bench]

Brings what the tests (or the benches) need beyond npm: as root on Debian it installs what is missing, otherwise it names the
command to run.

  --help  this text`

type SetUp = { kind: 'ready' } | { kind: 'failed'; message: string; exitCode: number }

type SetUpOptions = {
  needs?: readonly Need[]
  isRoot?: boolean
  platform?: string
  hasApt?: boolean
  apt?: AptOptions
  err?: { write(text: string): unknown; isTTY?: boolean }
}

/** Makes the machine ready for `audience`; says on standard error what it does. */
export async function setUp(audience: Audience, options: SetUpOptions = {}): Promise<SetUp> {
  const find = () => findMissing(audience, options.needs === undefined ? {} : { needs: options.needs })
  const missing = find()
  if (missing.length === 0) return { kind: 'ready' }
  const wanted = missing.map((need) => `${need.name} (${need.why})`).join(', ')
  const fail = (message: string, exitCode = 1): SetUp => ({ kind: 'failed', message, exitCode })
  const platform = options.platform ?? process.platform
  if (platform !== 'linux' || !(options.hasApt ?? isOnPath('apt-get')))
    return fail(`set-up: missing ${wanted}; ${adviceWithoutApt(missing, platform)}`)
  const command = commandFor(missing)
  if (!(options.isRoot ?? process.getuid?.() === 0)) return fail(`set-up: missing ${wanted}; run: ${command}`)

  const packages = missing.flatMap((need) => need.packages)
  const progress = startProgress(`set-up: installing ${packages.join(' ')}`, options.err)
  const outcome = await installPackages(packages, { ...options.apt, onLine: progress.now })
  progress.done(outcome.kind)
  if (outcome.kind === 'interrupted') return fail('set-up: interrupted', exitCodeOf(outcome.end))
  if (outcome.kind !== 'installed') return fail(`set-up: ${explain(outcome)}; to do it by hand: ${command}`)
  const still = find().flatMap((need) => need.probes.filter((path) => !existsSync(path)))
  if (still.length > 0)
    return fail(`set-up: the packages are installed but these files are not there: ${still.join(' ')}`)
  return { kind: 'ready' }
}

function explain(outcome: Exclude<AptOutcome, { kind: 'installed' | 'interrupted' }>): string {
  switch (outcome.kind) {
    case 'locked':
      return `another apt held the package lock for ${Math.round(outcome.waitedMs / 1000)} s`
    case 'offline':
      return `Debian's mirror could not be reached (${outcome.detail})`
    case 'unknown-package':
      return `this Debian does not know a package (${outcome.detail})`
    case 'failed':
      return `apt-get failed (${outcome.detail})`
  }
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)))
}

if (import.meta.main) {
  const { words } = readCommandLine(USAGE, {}, { takesWords: true })
  const [audience = 'test', more] = words
  if (more !== undefined || (audience !== 'test' && audience !== 'bench')) {
    console.error(`${JSON.stringify(more ?? audience)} is no set-up; see --help`)
    process.exit(2)
  }
  const result = await setUp(audience)
  console.error(result.kind === 'ready' ? `set-up: ready for ${audience}` : result.message)
  process.exit(result.kind === 'ready' ? 0 : result.exitCode)
}
