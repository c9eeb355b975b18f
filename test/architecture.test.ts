// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the synthetic files are strings that hold templates
// The walls of the house (docs in tools/architecture/): each rule is held over the whole tree, and each is proven to bite by a
// small file that breaks it. A rule that could not fail would hold nothing.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { findDeadExports } from '../tools/architecture/dead-exports.ts'
import { findLogBreaches } from '../tools/architecture/log-rules.ts'
import { readImports, readSource, type Source } from '../tools/architecture/reader.ts'
import {
  findBareClocks,
  findDefaultExports,
  findEmptyNames,
  findOwnClocks,
  findOwnParsers,
  findOwnUntils,
  findProcessUse,
  findUnrunTests,
} from '../tools/architecture/source-rules.ts'
import { findWallBreaches } from '../tools/architecture/walls.ts'
import { listFiles, ROOT } from '../tools/tree.ts'

const AREAS = ['src', 'sim', 'load', 'test', 'bench', 'chaos', 'tools']
const CODE = /\.(ts|mjs|js|lua|css|html)$/
const paths = AREAS.flatMap((area) => listFiles(area))
const readFile = (path: string) => readSource(path, readFileSync(join(ROOT, path), 'utf8'))
const sources = paths.filter((path) => CODE.test(path)).map(readFile)
const scripts = sources.filter((source) => /\.(ts|mjs|js)$/.test(source.path))

type Rule = (source: Source) => string[]

/** All breaches of a rule in the tree; the assertion's message lists them. */
function holds(rule: Rule, among: readonly Source[] = scripts): void {
  const breaches = among.flatMap(rule)
  assert.equal(breaches.length, 0, `\n${breaches.join('\n')}`)
}

/** Asserts that each synthetic file breaks the rule exactly as often as said. */
function bites(rule: Rule, cases: readonly (readonly [path: string, text: string, breaches: number])[]): void {
  for (const [path, text, breaches] of cases)
    assert.equal(rule(readSource(path, text)).length, breaches, `${path}: ${text}`)
}

test('the tree is read: every area that exists gave files, and their imports were seen', () => {
  assert.ok(sources.some((source) => source.path === 'src/kit/errors.ts'))
  const own = sources.find((source) => source.path === 'test/architecture.test.ts')!
  assert.ok(readImports(own).some((one) => one.specifier === '../tools/architecture/walls.ts'))
})

describe('the reader', () => {
  test('[G2] comments, strings and regular expressions are no code', () => {
    const text = ["// import 'a'", 'const s = "import \'b\'"', "const r = /['\"]import 'c'/g", "import 'd'"].join('\n')
    assert.deepEqual(
      readImports(readSource('x.ts', text)).map((one) => one.specifier),
      ['d'],
    )
  })

  test('[G3] code inside a template is code, its text is not', () => {
    const source = readSource('x.ts', 'const t = `process.env ${process.exit(`a ${b} }`)} process.env`; c / d / e')
    assert.equal(source.bare.length, source.text.length)
    assert.doesNotMatch(source.bare, /env/)
    assert.match(source.bare, /process\.exit/)
    assert.match(source.bare, /c \/ d \/ e/)
  })

  test('every form of import is seen, and only a whole `import type` counts as types', () => {
    const text = `import a from './a.ts'
import { type B,
  c } from './b.ts'
import type { D } from './d.ts'
export type { E } from './e.ts'
export * from './f.ts'
const g = await import('./g.ts')
import './h.ts'`
    const seen = readImports(readSource('x.ts', text)).map((one) => [one.specifier, one.isTypeOnly, one.line])
    const expected = [
      ['./a.ts', false, 1],
      ['./b.ts', false, 2],
      ['./d.ts', true, 4],
      ['./e.ts', true, 5],
      ['./f.ts', false, 6],
      ['./g.ts', false, 7],
      ['./h.ts', false, 8],
    ]
    assert.deepEqual(seen, expected)
  })
})

describe('imports point inward', () => {
  test('[W1-W4] over the whole tree', () => holds(findWallBreaches))

  test('counter-proof: [W1] rooms', () =>
    bites(findWallBreaches, [
      ['src/audio/a.ts', "import { b } from '../call/b.ts'", 1],
      ['src/audio/a.ts', "import { b } from '../kit/b.ts'", 0],
      ['src/call/a.ts', "import { b } from '../carrier/twilio/b.ts'", 1],
      ['src/call/a.ts', "import { b } from '../packs/b.ts'", 1],
      ['src/call/a.ts', "import type { B } from '../packs/b.ts'", 0],
      ['src/carrier/twilio/a.ts', "import { b } from '../../model/b.ts'", 1],
      ['src/model/openai/a.ts', "import { type B } from '../../packs/b.ts'", 1],
      ['src/control/a.ts', "import { b } from '../call/b.ts'", 1],
      ['src/packs/a.ts', "import { b } from '../call/b.ts'", 1],
      ['src/ops/a.ts', "import { b } from '../call/b.ts'", 1],
      ['src/ops/a.ts', "import { b } from '../work/b.ts'", 0],
      ['src/kit/a.ts', "export * from '../call/b.ts'", 1],
      ['src/parlour/a.ts', "import { b } from '../kit/b.ts'", 1],
      ['src/audio/a.test.ts', "import { b } from '../call/b.ts'", 0],
    ]))

  test('counter-proof: [W2][W3][W4] sim, load, roles', () =>
    bites(findWallBreaches, [
      ['src/call/a.ts', "import { b } from '../../sim/b.ts'", 1],
      ['src/call/a.test.ts', "const b = await import('../../sim/b.ts')", 1],
      ['src/all.ts', "import '../load/b.ts'", 1],
      ['src/all.ts', "import { b } from './carrier/b.ts'", 0],
      ['src/call/a.ts', "import { b } from '../config.ts'", 1],
      ['sim/twilio/a.ts', "import type { B } from '../../src/b.ts'", 1],
      ['sim/twilio/a.test.ts', "import { b } from '../../load/b.ts'", 1],
      ['load/a.ts', "import { b } from '../src/b.ts'", 1],
      ['load/a.ts', "import { b } from '../sim/b.ts'", 0],
      ['test/a.test.ts', "import { b } from '../load/b.ts'", 0],
    ]))
})

describe('single files and folders', () => {
  test('[X1] process.env stands only in src/config.ts, process.exit only in src/main.ts', () => holds(findProcessUse))
  test('counter-proof: [X1]', () =>
    bites(findProcessUse, [
      ['src/ops/a.ts', 'const x = process.env.X', 1],
      ['src/ops/a.ts', "const x = process['env']", 1],
      ['src/ops/a.ts', 'const { env } = process', 1],
      ['src/ops/a.ts', "import { env } from 'node:process'", 1],
      ['src/config.ts', 'const x = process.env.X', 0],
      ['src/config.ts', 'process.exit(1)', 1],
      ['src/main.ts', 'process.exit(1)', 0],
      ['src/ops/a.ts', '// process.exit(1) is for main\nprocess.exitCode = 1', 0],
    ]))

  test('[O18] [X7] no test judges by a bare wall clock', () => holds(findBareClocks))
  test('counter-proof: [X7]', () =>
    bites(findBareClocks, [
      ['src/a.test.ts', 'const endMs = performance.now() + 2_000', 1],
      ['src/a.test.ts', 'const endMs = performance.now() + 20_000', 0],
      ['test/a.ts', 'async function until(isSo: () => boolean, withinMs = 3_000) {}', 1],
      ['test/a.test.ts', 'assert.ok(performance.now() - startedMs < 300)', 1],
      ['test/a.test.ts', 'assert.ok(watch.elapsedMs() < 300)', 0],
      ['src/a.ts', 'const endMs = performance.now() + 2_000', 0],
    ]))

  test('[X10] one `until`', () => holds(findOwnUntils))
  test('counter-proof: [X10]', () =>
    bites(findOwnUntils, [
      ['test/a.ts', 'async function until(isTrue: () => boolean) {}', 1],
      ['src/a/testing/b.ts', 'export async function eventually<T>(look: () => T) {}', 1],
      ['src/a.test.ts', 'function waitUntilGone(pid: number) {}', 1],
      ['test/a.ts', 'class A { until(isTrue: () => boolean) { return until("it", isTrue) } }', 0],
      ['src/a/b.ts', 'function untilReady() {}', 0],
    ]))

  test('[X11] one reader of command lines', () => holds(findOwnParsers))
  test('counter-proof: [X11]', () =>
    bites(findOwnParsers, [
      ['tools/a.ts', 'const { values } = parseArgs({ args })', 1],
      ['tools/a.ts', '// parseArgs()\nreadCommandLine(USAGE, {})', 0],
    ]))

  test('[X3] no name that says nothing', () => assert.deepEqual(findEmptyNames(paths), []))
  test('counter-proof: [X3]', () => {
    const named = ['src/utils/a.ts', 'src/call/call-manager.ts', 'src/kit/helper.test.ts', 'src/call/event_handler.ts']
    assert.equal(findEmptyNames(named).length, 4)
    assert.deepEqual(findEmptyNames(['src/call/service-level.ts']).length, 1)
    assert.deepEqual(findEmptyNames(['src/call/utility-meter.ts']), [])
  })

  test('[X4] no default export in src', () => holds(findDefaultExports))
  test('counter-proof: [X4]', () =>
    bites(findDefaultExports, [
      ['src/a.ts', 'export default function a() {}', 1],
      ['src/a.ts', 'export { a as default }', 1],
      ['test/agents/a.ts', 'export default agent', 0],
    ]))

  test('[X5] the call has no clock of its own', () => holds(findOwnClocks))
  test('counter-proof: [X5]', () =>
    bites(findOwnClocks, [
      ['src/call/a.ts', 'const now = Date.now()', 1],
      ['src/call/a.ts', 'const t = performance.now(), d = new Date()', 2],
      ['src/call/a.ts', 'setTimeout(f, 5); globalThis.setInterval(f, 5)', 2],
      ['src/call/a.ts', "import { setTimeout as sleep } from 'node:timers/promises'", 1],
      ['src/call/a.ts', 'clock.setTimeout(f, 5) // not Date.now()\nnew Date(clock.wallMs())', 0],
      ['src/carrier/a.ts', 'setTimeout(f, 5)', 0],
    ]))

  test('[X6] no test is skipped, left to do, or run alone', () => holds(findUnrunTests))
  test('counter-proof: [X6]', () => {
    bites(findUnrunTests, [
      ['src/a.test.ts', "test.skip('x', () => {})", 1],
      ['src/a.test.ts', "test('x', { todo: true }, () => {})", 1],
      ['src/a.test.ts', "test('skip: no', () => {})", 0],
    ])
  })
})

describe('the exports', () => {
  test('[X8][X9] every export is imported, and by more than tests', () => {
    const all = [
      ...sources,
      ...listFiles('deploy')
        .filter((path) => CODE.test(path))
        .map(readFile),
    ]
    const dead = findDeadExports(all.filter((source) => /\.(ts|mjs)$/.test(source.path)))
    assert.equal(dead.length, 0, `\n${dead.join('\n')}`)
  })

  const dead = (files: Readonly<Record<string, string>>) =>
    findDeadExports(Object.entries(files).map(([path, text]) => readSource(path, text)))

  test('counter-proof: [X8]', () => {
    const one = 'export const a = 1\nexport type B = 2\nconst c = 3, d = 4\nexport { c, d as e }'
    assert.equal(dead({ 'src/one.ts': one }).length, 4)
    assert.equal(dead({ 'src/one.ts': one, 'src/two.ts': "// import { a } from './one.ts'" }).length, 4)
    assert.equal(dead({ 'src/one.ts': one, 'src/x/two.ts': "import { a as z, type B } from '../one.ts'" }).length, 2)
    assert.equal(dead({ 'src/one.ts': one, 'src/two.ts': "import type { B } from './one.ts'" }).length, 3)
    assert.equal(dead({ 'src/one.ts': one, 'src/two.ts': "import * as one from './one.ts'" }).length, 0)
    assert.equal(dead({ 'src/one.ts': one, 'src/two.ts': "const { e } = await import('./one.ts')" }).length, 3)
    assert.equal(dead({ 'src/one.ts': one, 'src/two.ts': "f((await import('./one.ts')).a())" }).length, 3)
    assert.equal(dead({ 'src/one.ts': one, 'src/two.ts': "import('./one.ts').then(run)" }).length, 0)
    assert.equal(dead({ 'test/agents/one.ts': 'export const agent = 1\nexport default agent' }).length, 0)
  })

  test('counter-proof: [X9]', () => {
    const test = { 'src/a.test.ts': "import { a } from './a.ts'" }
    assert.equal(dead({ 'src/a.ts': 'export const a = 1', ...test }).length, 1)
    assert.equal(dead({ 'src/a.ts': 'export const a = 1\nf(a)', ...test }).length, 0)
    assert.equal(dead({ 'src/a.ts': 'export const a = []\nf(...a)', ...test }).length, 0)
    assert.equal(dead({ 'src/a.ts': 'export const a = 1\nf(b.a)', ...test }).length, 1)
    assert.equal(
      dead({ 'src/a.ts': 'export const a = 1', 'src/b.ts': "import { a } from './a.ts'", ...test }).length,
      0,
    )
  })
})

describe('the log', () => {
  test('[O1][O2] static messages, personal fields only under pii.', () => holds(findLogBreaches))
  test('counter-proof: [O1] static messages', () =>
    bites(findLogBreaches, [
      ['src/a.ts', 'log.info({ callId }, `call ${callId} admitted`)', 1],
      ['src/a.ts', "this.#log.warn({ callId }, 'call ' + callId)", 1],
      ['src/a.ts', 'parts.log.error({ callId }, message)', 1],
      ['src/a.ts', 'callLog.debug(`x ${y}`)', 1],
      ['src/a.ts', "log.info({ callId, f: g(1, 'a, b') }, 'call admitted')", 0],
      ['src/a.ts', "log.info({ callId }, isLate ? 'late: 1 + 1' : 'early')", 0],
      ['src/a.ts', '// log.info(x, `${y}`)\ncatalog.info(x, y)', 0],
    ]))
  test('counter-proof: [O2] personal fields', () =>
    bites(findLogBreaches, [
      ['src/a.ts', "log.info({ callId, from: call.from }, 'call admitted')", 1],
      ['src/a.ts', "log.info({ to, text }, 'said')", 2],
      ['src/a.ts', "const l = log.child({ call: { 'name': n } })", 1],
      ['src/a.ts', "log.info({ 'pii.from': from, tool: tool.name, fromMs: 3 }, 'call admitted')", 0],
    ]))
})
