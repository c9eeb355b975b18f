// SPEC.md, the head comments of src/ and the titles of the tests say the same. The counter-proofs show that each check can fail.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { CASES_PAGE, readCases } from './cases.ts'
import { listFiles, ROOT } from './tree.ts'

type Rule = { id: string; words: string; place: string }
type File = { path: string; text: string }

/** Invariants of the whole plane stand in SPEC.md alone. */
const INVARIANT = /^IV\d+$/
/** These tests cite the rules of the tools that they try. */
const TESTS_OF_TOOLS: Readonly<Record<string, string>> = {
  'test/architecture.test.ts': 'tools/architecture/',
  'test/deploy/chart.test.ts': 'tools/k8s/',
  'test/fleet/arguments.test.ts': 'tools/fleet/',
  'test/fleet/fleet.test.ts': 'tools/fleet/',
  'test/fleet/haproxy.test.ts': 'tools/fleet/',
}

const read = (path: string): File => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })

/** The rules of a head comment; a rule goes on in the indented lines below it. */
function rulesOfHead({ path, text }: File): Rule[] {
  const rules: Rule[] = []
  let rule: Rule | undefined
  for (const line of text.split('\n')) {
    if (!line.startsWith('//')) break
    const first = /^\/\/ (?<id>[A-Z]{1,3}\d+): (?<words>.*)$/.exec(line)?.groups
    const more = /^\/\/\s{2,}(?<words>.*)$/.exec(line)?.groups
    if (first !== undefined) {
      rule = { id: first.id!, words: first.words!.trim(), place: path }
      rules.push(rule)
    } else if (more !== undefined && rule !== undefined) rule.words += ` ${more.words!.trim()}`
    else rule = undefined
  }
  return rules
}

function rulesOfPage({ path, text }: File): Rule[] {
  const rules = [...text.matchAll(/^- \*\*(?<id>[A-Z]{1,3}\d+)\*\* (?<words>.*)$/gm)]
  return rules.map(({ groups }) => ({ id: groups!.id!, words: groups!.words!.trim(), place: path }))
}

/** The ids in the titles of a test file: `[CM1]`, or `[CM1-CM3]` for the two ends of a row. */
function citations({ path, text }: File): { id: string; place: string }[] {
  const titles = text.matchAll(/(?<![\w.])(?:test|it|suite|describe)\(\s*(?<quote>['"`])(?<title>.*?)\k<quote>/g)
  return [...titles].flatMap(({ groups }) =>
    [...groups!.title!.matchAll(/\[([A-Z]{1,3}\d+)(?:-([A-Z]{1,3}\d+))?\]/g)].flatMap(([, one, other]) =>
      [one, other].flatMap((id) => (id === undefined ? [] : [{ id, place: path }])),
    ),
  )
}

function findRepeated(rules: readonly Rule[]): string[] {
  const places = new Map<string, string>()
  return rules.flatMap(({ id, place }) => {
    const before = places.get(id)
    places.set(id, place)
    return before === undefined ? [] : [`${id} stands in ${before} and in ${place}`]
  })
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

function findDifferences(heads: readonly Rule[], page: readonly Rule[]): string[] {
  const onPage = new Map(page.map((rule) => [rule.id, rule.words]))
  const inHeads = new Set(heads.map(({ id }) => id))
  const unsaid = heads
    .filter(({ id, words }) => onPage.get(id) !== words)
    .map(({ id, words, place }) => `${place}: SPEC.md should say: - **${id}** ${words}`)
  const unkept = page
    .filter(({ id }) => !INVARIANT.test(id) && !inHeads.has(id))
    .map(({ id }) => `SPEC.md: no head comment of src/ has ${id}`)
  return [...unsaid, ...unkept]
}

function findUnknown(cited: readonly { id: string; place: string }[], known: ReadonlySet<string>): string[] {
  return cited.filter(({ id }) => !known.has(id)).map(({ id, place }) => `${place}: no rule ${id}`)
}

const sources = listFiles('src').filter((path) => path.endsWith('.ts'))
const heads = sources.filter((path) => !path.endsWith('.test.ts')).flatMap((path) => rulesOfHead(read(path)))
const page = rulesOfPage(read('SPEC.md'))

suite('SPEC.md', () => {
  test('each rule of src/ has an id of its own, and each file its own letters', () => {
    assert.ok(heads.length > 100, 'the heads could not be read')
    assert.deepEqual([...findRepeated(heads), ...findSharedLetters(heads)], [])
    assert.deepEqual(findRepeated(page), [])
  })

  test('counter-proof: a second rule of the same id, and letters of another file', () => {
    const rules = ['src/a.ts', 'src/b.ts'].flatMap((path) =>
      rulesOfHead({ path, text: '// X. Rules:\n// XX1: one.\n' }),
    )
    assert.equal(findRepeated(rules).length, 1)
    assert.equal(findSharedLetters(rules).length, 1)
    const apart = [rules[0]!, { ...rules[1]!, id: 'XY1' }]
    assert.deepEqual([...findRepeated(apart), ...findSharedLetters(apart)], [])
  })

  test('page and head comments have the same rules in the same words', () => {
    assert.deepEqual(findDifferences(heads, page), [])
  })

  test('counter-proof: other words, a rule that is not on the page, one that is in no file', () => {
    const text =
      '// X. Rules:\n// XX1: a rule that\n//      goes on.\n// No rule.\n// XX2: two.\nconst x = 1\n// XX3: no head.\n'
    const two = rulesOfHead({ path: 'src/a.ts', text })
    assert.deepEqual(
      two.map(({ words }) => words),
      ['a rule that goes on.', 'two.'],
    )
    const pageOf = (text: string): Rule[] => rulesOfPage({ path: 'SPEC.md', text })
    assert.deepEqual(
      findDifferences(two, pageOf('- **IV1** all.\n- **XX1** a rule that goes on.\n- **XX2** two.\n')),
      [],
    )
    assert.equal(findDifferences(two, pageOf('- **XX1** a rule that goes off.\n- **XX2** two.\n')).length, 1)
    assert.equal(findDifferences(two, pageOf('- **XX1** a rule that goes on.\n- **XX4** four.\n')).length, 2)
  })

  test('each id in the title of a test is a rule, or a case of docs/cases.md', () => {
    const cases = readCases(read(CASES_PAGE).text).map(({ id }) => id)
    const known = new Set([...page.map(({ id }) => id), ...cases])
    const tests = [...sources, ...listFiles('test')].filter((path) => path.endsWith('.test.ts'))
    const wrong = tests.flatMap((path) => {
      const folder = TESTS_OF_TOOLS[path]
      const rules = folder === undefined ? [] : listFiles(folder).flatMap((file) => rulesOfHead(read(file)))
      return findUnknown(
        citations(read(path)),
        folder === undefined ? known : new Set([...rules.map(({ id }) => id), ...cases]),
      )
    })
    assert.deepEqual(wrong, [])
  })

  test('counter-proof: a title that cites what is no rule', () => {
    const text = "test('[XX1] [XX9] a claim', () => {\n  test(\n    `[XX1-XX8] another`,\n  assert.match(a, /[A1]/)\n"
    const cited = citations({ path: 'src/a.test.ts', text })
    assert.deepEqual(
      cited.map(({ id }) => id),
      ['XX1', 'XX9', 'XX1', 'XX8'],
    )
    assert.deepEqual(findUnknown(cited, new Set(['XX1', 'XX8'])), ['src/a.test.ts: no rule XX9'])
  })
})
