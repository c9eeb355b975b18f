// The check command (`npm run check`): what CI runs. Rules:
// H1: every step runs, also after one has failed; the exit code is zero only when all passed.
// H2: one line a step, with its time; what a failed step said comes below it. The tests show their own output.
// H3: each step has a bound.
import './node-version.mjs'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describeEnd, runChild } from './child.ts'
import { readCommandLine } from './command-line.ts'
import { runTests } from './test.ts'
import { listFiles, ROOT } from './tree.ts'
import { findBreaches, isRead } from './tree-rules.ts'

const STEP_MAX_MS = 300_000
/** Lines of a failed step's output that are shown. */
const SHOWN_LINES_MAX = 60

type Verdict = { passed: boolean; lines: string[]; interrupted?: boolean }
type Step = { name: string; run: () => Promise<Verdict> }

const USAGE = `npm run check [-- --no-test]

Runs what CI runs: format and lint, types, tree rules (lock file, addresses, machine paths), walls, dead
exports and log rules, rules and pages, tests.

  --no-test  all but the tests
  --help     this text`

async function runProgram(command: string, args: readonly string[]): Promise<Verdict> {
  const PATH = `${join(ROOT, 'node_modules', '.bin')}${delimiter}${process.env.PATH ?? ''}`
  const env = { ...process.env, PATH, NO_COLOR: '1' }
  const { end, lines } = await runChild(command, args, { cwd: ROOT, env, maxMs: STEP_MAX_MS, output: 'keep' })
  if (end.kind === 'exited' && end.code === 0) return { passed: true, lines: [] }
  return { passed: false, lines: [...lines, describeEnd(end)], interrupted: end.kind === 'interrupted' }
}

async function checkTree(): Promise<Verdict> {
  const breaches = listFiles()
    .filter(isRead)
    .flatMap((path) => findBreaches(path, readFileSync(join(ROOT, path), 'utf8')))
  return { passed: breaches.length === 0, lines: breaches.map((b) => `${b.path}:${b.line}: ${b.text}`) }
}

/** Quick tests that hold pages and tables to the code: no server, no socket. */
const PAGE_TESTS = [
  'tools/spec.test.ts',
  'src/config.test.ts',
  'src/ops/metrics.test.ts',
  'src/phrases/language.test.ts',
  'src/call/end-cause.test.ts',
  'src/call/figures.test.ts',
  'test/docs/everyday-changes.test.ts',
  'test/docs/links.test.ts',
  'test/docs/tour.test.ts',
]

const STEPS: readonly Step[] = [
  { name: 'format and lint', run: () => runProgram('biome', ['check', '--max-diagnostics=50', '.']) },
  { name: 'types', run: () => runProgram('tsc', ['--noEmit']) },
  { name: 'no addresses or machine paths', run: checkTree },
  { name: 'the chart’s schema is made from src/', run: () => runProgram('node', ['tools/k8s/settings.ts', '--check']) },
  {
    name: 'walls, exports and log rules',
    run: () => runProgram('node', ['--test', '--test-reporter=spec', 'test/architecture.test.ts']),
  },
  {
    name: 'rules and pages are those of the code',
    run: () => runProgram('node', ['--test', '--test-reporter=spec', ...PAGE_TESTS]),
  },
]

const TESTS: Step = {
  name: 'tests',
  run: async () => {
    const code = await runTests([])
    return { passed: code === 0, lines: [], interrupted: code > 128 }
  },
}

/** Runs the steps one after the other and returns the exit code. */
export async function runSteps(steps: readonly Step[], print: (line: string) => void): Promise<number> {
  const failed: string[] = []
  const startedMs = performance.now()
  const secondsSince = (ms: number) => `${((performance.now() - ms) / 1000).toFixed(1)} s`
  for (const step of steps) {
    const stepMs = performance.now()
    const verdict = await step.run()
    print(`${verdict.passed ? 'ok    ' : 'FAILED'}  ${step.name} (${secondsSince(stepMs)})`)
    for (const line of verdict.lines.slice(0, SHOWN_LINES_MAX)) print(`        ${line}`)
    if (verdict.lines.length > SHOWN_LINES_MAX) print(`        … ${verdict.lines.length - SHOWN_LINES_MAX} more lines`)
    if (!verdict.passed) failed.push(step.name)
    if (verdict.interrupted) break
  }
  const total = secondsSince(startedMs)
  print(failed.length === 0 ? `check: all passed in ${total}` : `check: failed in ${total}: ${failed.join(', ')}`)
  return failed.length === 0 ? 0 : 1
}

if (import.meta.main) {
  const { values } = readCommandLine(USAGE, { 'no-test': { type: 'boolean' } })
  process.exitCode = await runSteps(values['no-test'] ? STEPS : [...STEPS, TESTS], console.log)
}
