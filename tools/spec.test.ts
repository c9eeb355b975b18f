// Rules and the tests that hold them. Rules of SPEC.md cross rooms; a rule of one file stands in its head comment. Rules:
// SPC1: each rule of SPEC.md names the test files that cite it, all of them and no other; at least one.
// SPC2: each id in the title of a test is a rule of SPEC.md, of a head comment, or a case of docs/cases.md.
// SPC3: SPEC.md has RULES_MIN to RULES_MAX rules, each with an id of its own; a chapter names chaos runs that exist.
// SPC4: each rule of a head comment in src/ has an id of its own, and each file its own letters.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { CASES_PAGE, readCases } from './cases.ts'
import { idsCitedIn } from './titles.ts'
import { listFiles, ROOT } from './tree.ts'

type Rule = { id: string; place: string }
type SpecRule = { id: string; tests: string[] }
type File = { path: string; text: string }
/** The ids that the titles of a test file cite. */
type Citations = { path: string; ids: ReadonlySet<string> }

const RULES_MIN = 80
const RULES_MAX = 140
/** These tests cite the rules of the tools that they try. */
const TESTS_OF_TOOLS: Readonly<Record<string, string>> = {
  'test/architecture.test.ts': 'tools/architecture/',
  'test/deploy/chart.test.ts': 'tools/k8s/',
  'test/fleet/arguments.test.ts': 'tools/fleet/',
  'test/fleet/fleet.test.ts': 'tools/',
  'test/fleet/haproxy.test.ts': 'tools/fleet/',
}

const read = (path: string): File => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })

function rulesOfHead({ path, text }: File): Rule[] {
  const head = /^(?:\/\/.*\n)*/.exec(text)![0]
  return [...head.matchAll(/^\/\/ (?<id>[A-Z]{1,3}\d+): /gm)].map(({ groups }) => ({ id: groups!.id!, place: path }))
}

/** The rules of SPEC.md; a rule ends with its line of tests. */
function rulesOfSpec(text: string): SpecRule[] {
  const rules = text.split(/^- \*\*(?=[A-Z]+-\d+\*\*)/m).slice(1)
  return rules.map((rule) => ({
    id: /^[A-Z]+-\d+/.exec(rule)![0],
    tests: [...(/^ {2}\(tests: (.*)\)$/m.exec(rule)?.[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
  }))
}

function findRepeated(ids: readonly string[]): string[] {
  return ids.filter((id, at) => ids.indexOf(id) !== at)
}

function findSharedLetters(rules: readonly Rule[]): string[] {
  const places = new Map<string, string>()
  return rules.flatMap(({ id, place }) => {
    const letters = id.replace(/\d+$/, '')
    const before = places.get(letters) ?? place
    places.set(letters, before)
    return before === place ? [] : [`${id} of ${place}: the letters ${letters} are those of ${before}`]
  })
}

/** Rules that no test cites, and lists of tests that are not those that cite the rule. [SPC1] */
function findUnproven(rules: readonly SpecRule[], cited: readonly Citations[]): string[] {
  return rules.flatMap(({ id, tests }) => {
    const citing = cited.filter(({ ids }) => ids.has(id)).map(({ path }) => path)
    if (citing.length === 0) return [`SPEC.md: no title of a test cites [${id}]`]
    return [
      ...tests.filter((path) => !citing.includes(path)).map((path) => `SPEC.md: ${id}: ${path} does not cite it`),
      ...citing.filter((path) => !tests.includes(path)).map((path) => `SPEC.md: ${id}: add ${path}, which cites it`),
    ]
  })
}

/** [SPC2] */
function findUnknown({ path, ids }: Citations, known: ReadonlySet<string>): string[] {
  return [...ids].filter((id) => !known.has(id)).map((id) => `${path}: no rule ${id}`)
}

const sources = listFiles('src').filter((path) => path.endsWith('.ts'))
const heads = sources.filter((path) => !path.endsWith('.test.ts')).flatMap((path) => rulesOfHead(read(path)))
const spec = read('SPEC.md').text
const rules = rulesOfSpec(spec)
const cited = [...sources, ...listFiles('test')]
  .filter((path) => path.endsWith('.test.ts'))
  .map((path) => ({ path, ids: idsCitedIn(read(path).text) }))

suite('SPEC.md and its tests', () => {
  test('[SPC1] each rule names the tests that cite it', () => {
    assert.deepEqual(findUnproven(rules, cited), [])
  })

  test('[SPC1] counter-proof: a rule that no test cites, and a list that is not theirs', () => {
    const page = '- **XX-1** One.\n  (tests: `a`, `b`)\n- **XX-2** Two `c`.\n  goes on.\n  (tests: `a`)\n\n## Y\n'
    const two = rulesOfSpec(page)
    assert.deepEqual(two, [
      { id: 'XX-1', tests: ['a', 'b'] },
      { id: 'XX-2', tests: ['a'] },
    ])
    const ids = idsCitedIn("test('[XX-1][P3] a claim', () => {\n  test(\n    `[XX-2] another`,\n")
    const other = idsCitedIn("    name: '[XX-1] in a table',\n")
    assert.deepEqual(
      findUnproven(two, [
        { path: 'a', ids },
        { path: 'b', ids: other },
      ]),
      [],
    )
    assert.equal(findUnproven(two, [{ path: 'a', ids }]).length, 1)
    assert.equal(
      findUnproven(two, [
        { path: 'a', ids },
        { path: 'c', ids: other },
      ]).length,
      2,
    )
    assert.deepEqual(findUnproven(two, [{ path: 'b', ids: other }]), [
      'SPEC.md: XX-1: a does not cite it',
      'SPEC.md: no title of a test cites [XX-2]',
    ])
  })

  test('[SPC2] each id in the title of a test is a rule or a case', () => {
    const everywhere = [...rules, ...readCases(read(CASES_PAGE).text)].map(({ id }) => id)
    const wrong = cited.flatMap((one) => {
      const folder = TESTS_OF_TOOLS[one.path]
      const own = folder === undefined ? heads : listFiles(folder).flatMap((file) => rulesOfHead(read(file)))
      return findUnknown(one, new Set([...everywhere, ...own.map(({ id }) => id)]))
    })
    assert.deepEqual(wrong, [])
  })

  test('[SPC2] counter-proof: a title that cites what is no rule', () => {
    const text = "test('[XX1] [XX-9] a claim', () => {\n  test(\n    `[XX1-XX8] another`,\n  assert.match(a, /[A1]/)\n"
    const ids = idsCitedIn(text)
    assert.deepEqual([...ids], ['XX1', 'XX-9', 'XX8'])
    assert.deepEqual(findUnknown({ path: 'a', ids }, new Set(['XX1', 'XX8'])), ['a: no rule XX-9'])
  })

  test('[SPC3] the page has about a hundred rules, each with an id of its own, and chaos runs that exist', () => {
    assert.ok(rules.length >= RULES_MIN && rules.length <= RULES_MAX, `${rules.length} rules`)
    assert.deepEqual(findRepeated(rules.map(({ id }) => id)), [])
    const runs = [...spec.matchAll(/^Chaos runs?: (.*)\.$/gm)].flatMap(([, names]) => names!.match(/[\w-]+/g)!)
    const known = [...read('docs/chaos.md').text.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name!)
    assert.deepEqual(
      runs.filter((name) => !known.includes(name)),
      [],
    )
    assert.ok(runs.length > 10, 'the runs could not be read')
  })

  test('[SPC4] each rule of a head comment has an id of its own, and each file its own letters', () => {
    assert.ok(heads.length > 100, 'the heads could not be read')
    assert.deepEqual([...findRepeated(heads.map(({ id }) => id)), ...findSharedLetters(heads)], [])
  })

  test('[SPC4] counter-proof: a second rule of the same id, and letters of another file', () => {
    const text =
      '// X. Rules:\n// XX1: one that\n//      goes on.\n// No rule.\n// XX2: two.\nconst x = 1\n// XX3: no head.\n'
    const both = ['src/a.ts', 'src/b.ts'].flatMap((path) => rulesOfHead({ path, text }))
    assert.deepEqual(findRepeated(both.map(({ id }) => id)), ['XX1', 'XX2'])
    assert.equal(findSharedLetters(both).length, 2)
    assert.deepEqual(findSharedLetters(both.slice(0, 2)), [])
  })
})
