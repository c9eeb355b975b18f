// The cases command reads its page and finds what is not covered.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { casesOfTree, findGaps, gapsOf, readCases } from './cases.ts'

const PAGE = `# Cases

### P3 Broken arguments
- **Situation:** the model sends
  half of an object.
- **Noticed:** silence.
- **Rule:** an error and a response.
- **Tests:** \`test/a.test.ts\`, \`test/b.test.ts\`

### S2 Answered otherwise
- **Situation:** one.
- **Noticed:** two.
- **Rule:** three.
- **Decision:** [014](decisions/014-x.md)
`

suite('cases', () => {
  test('[CS1] a case is read with its fields', () => {
    const [first, second] = readCases(PAGE)
    assert.equal(first?.id, 'P3')
    assert.equal(first?.situation, 'the model sends half of an object.')
    assert.deepEqual(first?.tests, ['test/a.test.ts', 'test/b.test.ts'])
    assert.equal(second?.decision, 'decisions/014-x.md')
  })

  test('[CS2] a case whose files do not cite it is not covered', () => {
    const [first, second] = readCases(PAGE)
    const files: Record<string, string> = {
      'test/a.test.ts': "test('[P3] an error is answered', () => {})",
      'docs/decisions/014-x.md': '# 014',
    }
    const read = (path: string) => files[path]
    assert.deepEqual(findGaps(first!, read), ['test/b.test.ts does not exist'])
    files['test/b.test.ts'] = "test('[P33] another', () => {})"
    assert.deepEqual(findGaps(first!, read), ['test/b.test.ts has no test that cites [P3]'])
    assert.deepEqual(findGaps({ ...first!, tests: [] }, read), ['no test'])
    assert.deepEqual(findGaps({ ...first!, rule: '', tests: ['test/a.test.ts'] }, read), ['no rule'])
    assert.deepEqual(findGaps(second!, read), [])
    assert.deepEqual(
      findGaps(second!, () => undefined),
      ['docs/decisions/014-x.md does not exist'],
    )
  })

  test('[CS2] every case of the page that names a test is cited by it', () => {
    const cases = casesOfTree()
    assert.ok(cases.length > 70, 'the page could not be read')
    assert.deepEqual(
      gapsOf(cases).filter((gap) => !/: no (?:test|situation|noticed|rule)$/.test(gap)),
      [],
    )
  })
})
