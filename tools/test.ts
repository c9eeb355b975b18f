// The test command (`npm test`). Rules:
// T1: set-up comes first (tools/setup.ts); what is missing is installed or named, never skipped.
// T2: one run of node's own runner over every *.test.ts, its summary on standard output, its exit code passed on.
// T3: tests never see the operator's keys: those variables are taken out of the environment.
// T4: a filter that matches no file is an error; so is a tree without tests.
// T5: a test has TEST_MAX_MS, a file whose tests are over the bound of tools/test-end.ts, the whole run RUN_MAX_MS;
//     at the bound it is ended and fails.
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
const CONCURRENCY = 2

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
  const testEnd = pathToFileURL(join(ROOT, 'tools/test-end.ts')).href
  const args = [
    '--test',
    '--import',
    testEnd,
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${TEST_MAX_MS}`,
    '--test-reporter=spec',
  ]
  if (name !== undefined) args.push(`--test-name-pattern=${name}`)
  const { end } = await runChild(process.execPath, [...args, ...files], {
    cwd: ROOT,
    env: testEnvironment(process.env),
    maxMs: RUN_MAX_MS,
    output: 'show',
  })
  if (end.kind !== 'exited') console.error(`the test run: ${describeEnd(end)}`)
  return exitCodeOf(end)
}

if (import.meta.main) {
  const { values, positionals } = readCommandLine(USAGE, {
    allowPositionals: true,
    options: { name: { type: 'string' } },
  })
  process.exitCode = await runTests(positionals, values.name)
}
