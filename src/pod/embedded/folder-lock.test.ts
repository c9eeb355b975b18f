import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { takeLock } from './folder-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'voiceplane-lock-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('[FL1] a living owner keeps others out until it gives the file free', () => {
  const file = join(folder, 'new', 'owner')
  const free = takeLock(file)
  assert.ok(free)
  assert.equal(takeLock(file), undefined)
  free()
  assert.equal(existsSync(file), false)
  takeLock(file)?.()
})

test('[FL1] an owner that is gone, or whose id another process has now, is followed', () => {
  const file = join(folder, 'stale')
  for (const text of ['4194304 17', `${process.pid} 1`, 'no owner at all', '']) {
    writeFileSync(file, text)
    const free = takeLock(file)
    assert.ok(free, `after ${JSON.stringify(text)}`)
    free()
  }
})

test('[FL1] who was followed does not take the file from who came after', () => {
  const file = join(folder, 'followed')
  const free = takeLock(file)!
  writeFileSync(file, '1 2')
  free()
  assert.equal(existsSync(file), true)
})
