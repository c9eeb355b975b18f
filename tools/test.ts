// The test command (`npm test`). Rules:
// T1: set-up comes first (tools/setup.ts); what is missing is installed or named, never skipped.
// T2: node's own runner over every *.test.ts, its summaries on standard output, its exit code passed on. Most tests wait more than they
//     work, so TOGETHER files run at once; those of ALONE measure a pace of their own and come after them, one by one.
// T3: tests never see the operator's keys: those variables are taken out of the environment.
// T4: a filter that matches no file is an error; so is a tree without tests.
// T5: a test has TEST_MAX_MS, a file whose tests are over the bound of tools/test-end.ts, the whole run RUN_MAX_MS;
//     at the bound it is ended and fails.
// T6: what node compiles is kept for the next process: each test file, and each program that a test starts, would compile it anew.
import './node-version.mjs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeEnd, exitCodeOf, runChild } from './child.ts'
import { readCommandLine } from './command-line.ts'
import { setUp } from './setup.ts'
import { listFiles, ROOT } from './tree.ts'

const FOLDERS = ['src', 'sim', 'load', 'bench', 'chaos', 'test', 'tools']
const TEST_MAX_MS = 120_000
const RUN_MAX_MS = 30 * 60_000
const TOGETHER = 3
/** Test files that need the machine, each with its reason. */
export const ALONE: Readonly<Record<string, string>> = {
  'bench/peers/floor.test.ts': 'compiles C and compares the bytes of two bridges under load',
  'bench/peers/generator.test.ts': 'says how late a generator was that was held up for 0.3 s',
  'bench/peers/peers.test.ts': 'ten bridges carry calls for three seconds each',
  'load/foreign.test.ts': 'three bridges that are not ours, with bounds of their own',
  'sim/twilio/conversation.test.ts': 'counts the frames of forty calls in a second',
  'sim/twilio/faults.test.ts': 'judges when frames and marks come, to 50 ms',
  'sim/twilio/media.test.ts': 'judges when frames and marks come, to 50 ms',
  'sim/twilio/resume.test.ts': 'judges when a carrier goes on after a stream, to 50 ms',
  'test/model-faults.test.ts': 'judges holes in what a caller hears, from 40 ms on',
  'test/work/embedded.test.ts': 'judges how fast a pod with its own database starts',
}
/** Compiled code, beside the packages it comes from. */
const COMPILE_CACHE = join(ROOT, 'node_modules/.cache/node-compile')

const USAGE = `npm test [-- [--name <pattern>] [<path>...]]

Brings what the tests need beyond npm (as root on Debian; otherwise names the command), then runs every *.test.ts
of ${FOLDERS.join(', ')}.

  <path>            only test files whose path begins with it: src/call, test/journey.test.ts
  --name <pattern>  only tests whose name matches
  --help            this text`

/** The test files of the tree that begin with one of `filters`; all of them when there is none. */
export function selectTests(files: readonly string[], filters: readonly string[]): string[] {
  const prefixes = filters.map((filter) => filter.replace(/^\.\//, ''))
  return files
    .filter((path) => path.endsWith('.test.ts'))
    .filter((path) => prefixes.length === 0 || prefixes.some((prefix) => path.startsWith(prefix)))
}

/** The environment handed to tests (rule T3), and without the mark that makes a nested runner report to its parent. */
export function testEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name]) => !/^(OPENAI|AZURE_OPENAI|TWILIO|ELEVENLABS)_/.test(name) && name !== 'NODE_TEST_CONTEXT',
  )
  return Object.fromEntries(kept)
}

/** Sets up, runs the tests chosen by `filters` and `name`, and returns the exit code. */
export async function runTests(filters: readonly string[], name?: string): Promise<number> {
  const files = selectTests(
    FOLDERS.flatMap((folder) => listFiles(folder)),
    filters,
  )
  if (files.length === 0) {
    console.error(filters.length === 0 ? 'there is no *.test.ts' : `no *.test.ts begins with ${filters.join(' or ')}`)
    return filters.length === 0 ? 1 : 2
  }
  const ready = await setUp('test')
  if (ready.kind === 'failed') {
    console.error(ready.message)
    return ready.exitCode
  }
  const untilMs = performance.now() + RUN_MAX_MS
  let code = 0
  for (const [some, concurrency] of inTurns(files)) {
    const maxMs = Math.max(1, untilMs - performance.now())
    const { end } = await runChild(process.execPath, [...runnerArguments(concurrency, name), ...some], {
      cwd: ROOT,
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...testEnvironment(process.env) },
      maxMs,
      output: 'show',
    })
    if (end.kind !== 'exited') console.error(`the test run: ${describeEnd(end)}`)
    code = Math.max(code, exitCodeOf(end))
    if (end.kind !== 'exited') break
  }
  return code
}

/** [T2] What runs after what, and how many files at once. */
export function inTurns(files: readonly string[]): [files: string[], concurrency: number][] {
  const alone = files.filter((path) => path in ALONE)
  const others = files.filter((path) => !(path in ALONE))
  const turns: [string[], number][] = [
    [others, TOGETHER],
    [alone, 1],
  ]
  return turns.filter(([some]) => some.length > 0)
}

function runnerArguments(concurrency: number, name: string | undefined): string[] {
  const args = [
    '--test',
    '--import',
    pathToFileURL(join(ROOT, 'tools/test-end.ts')).href,
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${TEST_MAX_MS}`,
    '--test-reporter=spec',
  ]
  return name === undefined ? args : [...args, `--test-name-pattern=${name}`]
}

if (import.meta.main) {
  const { values, words } = readCommandLine(USAGE, { name: { type: 'string' } }, { takesWords: true })
  process.exitCode = await runTests(words, values.name)
}
