// load/ and sim/ stand alone: they could be a package of their own.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FROM = /(?:\bfrom|\bimport|\bfork\(new URL|\bnew URL)\s*\(?\s*'(\.{1,2}\/[^']*)'/g

/** The relative paths that a source names. */
function named(source: string): string[] {
  return [...source.matchAll(FROM)].map(([, path]) => path!)
}

const filesOf = (area: string): string[] =>
  readdirSync(join(ROOT, area), { recursive: true, encoding: 'utf8' })
    // This file names paths that lead out, as its counter-proof.
    .filter((name) => name.endsWith('.ts') && name !== 'alone.test.ts')
    .map((name) => join(ROOT, area, name))

test('[L1] no file of load/ or sim/ leads out of them, tests of foreign bridges apart', () => {
  const files = [...filesOf('load'), ...filesOf('sim')]
  assert.ok(files.length > 80, `${files.length} files`)
  const outside = files.flatMap((file) =>
    named(readFileSync(file, 'utf8'))
      .map((path) => relative(ROOT, resolve(dirname(file), path)))
      .filter((path) => path.startsWith('..') || !/^(load|sim)\b/.test(path))
      .map((path) => `${relative(ROOT, file)} → ${path}`),
  )
  assert.deepEqual(outside, [])
})

test('counter-proof: a path that leads out is seen', () => {
  assert.deepEqual(named("import { a } from '../src/a.ts'"), ['../src/a.ts'])
  assert.deepEqual(named("await import('../../tools/b.ts')"), ['../../tools/b.ts'])
  assert.deepEqual(named("fork(new URL('../src/c.ts', import.meta.url))"), ['../src/c.ts'])
})
