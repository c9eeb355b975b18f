// docs/tour.md, the way of one call through the files: each file and function that it names is there.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from '../../tools/tree.ts'

const PAGE = readFileSync(join(ROOT, 'docs/tour.md'), 'utf8')
/** A function with its file: "`Call.start` in `src/call/call.ts`". */
const PAIR = /`((?:\w+\.)?\w+)` in\s+`(src\/[\w./-]+\.ts)`/g
const pairs = [...PAGE.matchAll(PAIR)].map(([, name, file]) => ({ name: name!, file: file! }))

/** Whether `source` declares the function, or the type with the method. */
function declares(source: string, name: string): boolean {
  const [owner, method] = name.split('.')
  if (method === undefined) return new RegExp(`^(export )?(async )?function ${owner}\\b`, 'm').test(source)
  const type = new RegExp(`^(?:export )?(?:class|interface|type) ${owner}\\b[^]*?^}`, 'm').exec(source)?.[0] ?? ''
  return new RegExp(`^  (async )?${method}(<[^>]*>)?\\(`, 'm').test(type)
}

test('each function that the tour names is declared in the file that it names', () => {
  assert.ok(pairs.length > 30, String(pairs.length))
  const wrong = pairs.filter(
    ({ name, file }) => !existsSync(join(ROOT, file)) || !declares(readFileSync(join(ROOT, file), 'utf8'), name),
  )
  assert.deepEqual(wrong, [])
})

test('the tour names no method and no file of src/ outside of such a pair', () => {
  const rest = PAGE.replaceAll(PAIR, '')
  assert.deepEqual(rest.match(/`(?:src\/[^`]+|[A-Z]\w+\.\w+)`/g) ?? [], [])
})

test('a function that is gone, and one of another class, are noticed', () => {
  const source = 'export class One {\n  begin() {}\n}\nclass Other {\n  end() {}\n}\nexport function make() {}\n'
  assert.ok(declares(source, 'One.begin') && declares(source, 'Other.end') && declares(source, 'make'))
  for (const gone of ['One.end', 'One.absent', 'Absent.begin', 'begin']) assert.ok(!declares(source, gone), gone)
})
