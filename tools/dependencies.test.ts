import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './tree.ts'

test('docs/decisions/dependencies.md gives a reason for each dependency, and for no other', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies']
  const declared = kinds.flatMap((kind) => Object.keys(manifest[kind] ?? {})).sort()
  const page = readFileSync(join(ROOT, 'docs/decisions/dependencies.md'), 'utf8')
  const reasons = [...page.matchAll(/^- `([^`]+)`: (.+)$/gm)]
  assert.deepEqual(reasons.map((reason) => reason[1]!).sort(), declared)
  for (const [, name, reason] of reasons) assert.ok(reason!.length > 20, `${name} has no real reason`)
})
