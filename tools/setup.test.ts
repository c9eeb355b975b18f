import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { installPackages } from './apt.ts'
import { adviceWithoutApt, commandFor, findMissing, NEEDS, type Need } from './needs.ts'
import { setUp } from './setup.ts'

const folder = mkdtempSync(join(tmpdir(), 'voiceplane-setup-'))
after(() => rmSync(folder, { recursive: true }))
let made = 0

/** A stand-in for apt-get: a real program that appends its arguments to `<path>.log` and then runs `body`. */
function makeApt(body: string): string {
  const path = join(folder, `apt-get-${++made}`)
  writeFileSync(path, `#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> "${path}.log"\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

function needWith(probe: string): Need {
  return {
    name: 'thing',
    why: 'is tried',
    packages: ['thing-a', 'thing-b'],
    probes: [probe],
    for: 'test',
    brew: 'none',
  }
}

const sink = () => {
  const texts: string[] = []
  return { texts, write: (text: string) => texts.push(text) }
}

test('[N1] a need is missing when one of its probes is missing', () => {
  const missing = findMissing('test', { exists: (path) => path !== '/usr/share/pocketsphinx/model/en-us/en-us/mdef' })
  assert.deepEqual(
    missing.map((need) => need.name),
    ['speech recogniser'],
  )
})

test('[N2] the tests do not bring what only the benches need', () => {
  const needs = (['test', 'bench'] as const).map((audience) => ({
    ...NEEDS[0]!,
    name: `for a ${audience}`,
    for: audience,
  }))
  const names = (audience: 'test' | 'bench') =>
    findMissing(audience, { needs, exists: () => false }).map((need) => need.name)
  assert.deepEqual(names('test'), ['for a test'])
  assert.deepEqual(names('bench'), ['for a test', 'for a bench'])
})

test('[S1] as root it installs what is missing, without questions, and is ready', async () => {
  const probe = join(folder, 'installed-file')
  const apt = makeApt(`case "$*" in *install*) : > "${probe}";; esac`)
  const err = sink()
  const options = { needs: [needWith(probe)], isRoot: true, platform: 'linux', hasApt: true, apt: { aptGet: apt }, err }
  assert.deepEqual(await setUp('test', options), { kind: 'ready' })
  const calls = readFileSync(`${apt}.log`, 'utf8').trim().split('\n')
  assert.equal(calls.length, 2)
  assert.match(calls[0]!, /^noninteractive .* update$/)
  assert.match(calls[1]!, /^noninteractive .* install -y --no-install-recommends thing-a thing-b$/)
  assert.match(err.texts[0]!, /installing thing-a thing-b: 0 s/)
  assert.match(err.texts.at(-1)!, /installed after \d+ s/)
})

test('[S1] without root it names the one command and fails', async () => {
  const need = needWith(join(folder, 'absent'))
  const result = await setUp('test', { needs: [need], isRoot: false, platform: 'linux', hasApt: true })
  assert.equal(result.kind, 'failed')
  assert.ok(result.kind === 'failed' && result.message.includes(commandFor([need])))
})

test('[S2] it fails when the packages came but the files did not', async () => {
  const probe = join(folder, 'never-there')
  const apt = { aptGet: makeApt('exit 0') }
  const options = { needs: [needWith(probe)], isRoot: true, platform: 'linux', hasApt: true, apt, err: sink() }
  const result = await setUp('test', options)
  assert.ok(result.kind === 'failed' && result.message.includes(probe))
})

test('[N3] on a Mac it says what Homebrew does not have', async () => {
  assert.match(adviceWithoutApt(NEEDS, 'darwin'), /Homebrew has no package for: speech recogniser, human prompts/)
  const result = await setUp('test', { needs: [needWith(join(folder, 'absent'))], platform: 'darwin', isRoot: true })
  assert.ok(result.kind === 'failed' && /Homebrew has no package for: thing/.test(result.message))
})

test('[A2] a lock that is released is waited for', async () => {
  const mark = join(folder, 'second-time')
  const locked = 'echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1" >&2; exit 100'
  const apt = makeApt(`[ -e "${mark}" ] || { : > "${mark}"; ${locked}; }`)
  assert.deepEqual(await installPackages(['thing'], { aptGet: apt, lockRetryMs: 20 }), { kind: 'installed' })
})

test('[A2] a lock that stays is an outcome at its bound', async () => {
  const apt = makeApt('echo "E: Unable to acquire the dpkg frontend lock" >&2; exit 100')
  const outcome = await installPackages(['thing'], { aptGet: apt, lockRetryMs: 20, lockWaitMaxMs: 60 })
  assert.deepEqual(outcome, { kind: 'locked', waitedMs: 60 })
})

test('[A3] a mirror that does not answer is told apart from an unknown package', async () => {
  const unknown = 'echo "E: Unable to locate package thing" >&2; exit 100'
  const offline = makeApt(
    `case "$*" in *update*) echo "Err:1 Temporary failure resolving 'mirror'" ; exit 100;; esac; ${unknown}`,
  )
  assert.equal((await installPackages(['thing'], { aptGet: offline })).kind, 'offline')
  const online = makeApt(`case "$*" in *install*) ${unknown};; esac`)
  assert.equal((await installPackages(['thing'], { aptGet: online })).kind, 'unknown-package')
})

test('[A3] a failed update does not stop an install that works', async () => {
  const apt = makeApt('case "$*" in *update*) echo "Err:1 Could not connect"; exit 100;; esac')
  assert.deepEqual(await installPackages(['thing'], { aptGet: apt }), { kind: 'installed' })
})

test('[A4] an apt that never ends is ended at the bound', async () => {
  const outcome = await installPackages(['thing'], { aptGet: makeApt('sleep 60'), installMaxMs: 300 })
  assert.equal(outcome.kind, 'failed')
})

test('an apt that cannot be started is a failure with its reason', async () => {
  const outcome = await installPackages(['thing'], { aptGet: join(folder, 'no-such-program') })
  assert.ok(outcome.kind === 'failed' && /could not start/.test(outcome.detail))
})
