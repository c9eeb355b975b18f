// The chapter "Everyday changes" of ARCHITECTURE.md: each file, folder, test and function that it names is there.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from '../../tools/tree.ts'

const PAGE = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')
const CHAPTER = PAGE.split(/^## /m).find((chapter) => chapter.startsWith('Everyday changes')) ?? ''
const ROWS = CHAPTER.split('\n').filter((line) => line.startsWith('| ') && !/^\| (change|---) \|/.test(line))
const SCRIPTS = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts as Record<string, string>
/** The most files that one change may touch, besides the languages. */
const FILES_MAX: Readonly<Record<string, number>> = {
  'a metric of a call': 4,
  'a new phrase': 5,
  'a figure of the call record': 8,
}

const namesIn = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!)
const pathsIn = (text: string): string[] => namesIn(text).filter((name) => name.includes('/'))
const cellsOf = (row: string): string[] => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, ''))

test('the chapter has a row for each everyday change', () => {
  const changes = ROWS.map((row) => cellsOf(row)[0]!).join('\n')
  for (const change of ['metric', 'setting', 'phrase', 'language', 'call record', 'tool', 'pack', 'carrier'])
    assert.ok(changes.includes(change), change)
})

test('each file, test and command that the chapter names is there', () => {
  for (const path of pathsIn(CHAPTER)) assert.ok(existsSync(join(ROOT, path)), path)
  for (const row of ROWS) {
    const [change, files = '', tests = ''] = cellsOf(row)
    assert.ok(pathsIn(files).length > 0, `${change}: no file`)
    assert.ok(
      pathsIn(tests).some((path) => path.endsWith('.test.ts')),
      `${change}: no test`,
    )
  }
  for (const [, script] of CHAPTER.matchAll(/npm run ([\w-]+)/g)) assert.ok(SCRIPTS[script!] !== undefined, script)
})

test('a metric, a phrase and a figure of the record touch no more files than their bounds', () => {
  for (const [change, max] of Object.entries(FILES_MAX)) {
    const row = ROWS.find((one) => cellsOf(one)[0] === change)
    assert.ok(row !== undefined, change)
    const files = cellsOf(row)[1]!
    const unnamed = files.split('the file of the step').length - 1
    const named = pathsIn(files).filter((path) => path !== 'src/phrases/languages/').length
    assert.ok(named + unnamed <= max, `${change}: ${named + unnamed} files, at most ${max}`)
  }
})

test('each function that the chapter names is in a file that its sentence names', () => {
  const sentence = CHAPTER.slice(CHAPTER.indexOf('Where do I find'))
  const text = pathsIn(sentence)
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n')
  for (const name of namesIn(sentence).filter((one) => !one.includes('/'))) {
    assert.ok(text.includes(`${name.split('.').at(-1)}(`), name)
  }
})
