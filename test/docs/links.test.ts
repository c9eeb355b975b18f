// The links between the pages: each leads to a file that is there, and to a heading that it has.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { ROOT } from '../../tools/tree.ts'
import { pages } from './commands.ts'

/** A heading as GitHub names it in an address. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-')

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const anchorsOf = (path: string): string[] =>
  [...read(path).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!))

test('each link of a page leads to a file and a heading that are there', () => {
  const dead: string[] = []
  for (const page of [...pages(), 'SPEC.md']) {
    for (const [, link] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue
      const [file, anchor] = link!.split('#')
      const target = file === '' ? page : normalize(join(dirname(page), file!))
      const isThere = existsSync(join(ROOT, target)) && (anchor === undefined || anchorsOf(target).includes(anchor))
      if (!isThere) dead.push(`${page}: ${link}`)
    }
  }
  assert.deepEqual(dead, [])
})
