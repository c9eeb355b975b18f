// The written configuration, and HAProxy's opinion of it.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { EXAMPLE, haproxyConfig } from '../../tools/fleet/haproxy-config.ts'
import { checkHaproxyConfig } from '../../tools/servers/haproxy.ts'
import { ROOT } from '../../tools/tree.ts'

function assertAccepted(text: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-cfg-'))
  try {
    const file = join(folder, 'haproxy.cfg')
    writeFileSync(file, text)
    checkHaproxyConfig(file)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('deploy/haproxy/haproxy.cfg is what the program writes, and HAProxy accepts it', () => {
  const file = join(ROOT, 'deploy/haproxy/haproxy.cfg')
  assert.equal(readFileSync(file, 'utf8'), haproxyConfig(EXAMPLE))
  checkHaproxyConfig(file)
})

test('HAProxy accepts a fleet of none, of one and of a hundred', () => {
  for (const count of [0, 1, 100]) {
    const pods = Array.from({ length: count }, (_, index) => ({ name: `p-${index}`, host: '10.0.0.1', port: 8080 }))
    const text = haproxyConfig({ pods, bind: ':8080', statsSocket: '/run/haproxy/admin.sock', maxConn: 500 })
    assert.equal(text.match(/^ {2}server p-/gm)?.length ?? 0, count)
    assertAccepted(text)
  }
})

test('a refused configuration is told in the words of HAProxy', () => {
  assert.throws(() => assertAccepted('defaults\n  mode htpp\n'), /htpp/)
})

test('names and addresses that would break a line are refused', () => {
  const whole = { ...EXAMPLE, pods: [] }
  const pod = { name: 'pod-1', host: '127.0.0.1', port: 1 }
  const bad = [
    { name: 'Pod' },
    { name: 'a b' },
    { name: '' },
    { host: 'a\nb' },
    { host: 'a b' },
    { port: 0 },
    { port: 70_000 },
  ]
  for (const part of bad) assert.throws(() => haproxyConfig({ ...whole, pods: [{ ...pod, ...part }] }), /not a pod's/)
  assert.throws(() => haproxyConfig({ ...whole, pods: [pod, pod] }), /one name/)
  assert.throws(() => haproxyConfig({ ...whole, bind: ':80\n  maxconn 1' }), /not one line/)
  assert.throws(() => haproxyConfig({ ...whole, maxConn: 0 }), /not a number/)
})
