import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ChaosRun } from './run.ts'

test('[RN3] the logs of a run are kept, and a pipe among them is left out', async () => {
  const keep = await mkdtemp(join(tmpdir(), 'voiceplane-kept-'))
  try {
    const run = await ChaosRun.start('kept', { seed: 1, keep })
    await writeFile(join(run.folder, 'pod.log'), 'a line\n')
    assert.equal(spawnSync('mkfifo', [join(run.folder, 'stderr')]).status, 0)
    await run.close()
    assert.equal(await readFile(join(keep, 'pod.log'), 'utf8'), 'a line\n')
    assert.ok(!(await readdir(keep)).includes('stderr'))
  } finally {
    await rm(keep, { recursive: true, force: true })
  }
})
