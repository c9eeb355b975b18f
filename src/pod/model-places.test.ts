// Where pools are: endpoints of the limits file, keys of the environment, and all that may be wrong with both.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Config, readConfig } from '../config.ts'
import { systemClock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import { silentLog } from '../kit/log.ts'
import { Metrics } from '../ops/metrics.ts'
import { openModelPools, placesOf } from './model-places.ts'
import { limitsOf } from './pod-settings.ts'

const folder = mkdtempSync(join(tmpdir(), 'voiceplane-places-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const KEYS = { KEY_EU: 'key-of-europe', KEY_AZURE: 'key-of-azure' }
const EU = { kind: 'openai', keyVariable: 'KEY_EU' }
const AZURE = {
  ...{ kind: 'azure', endpoint: 'https://west.openai.azure.com', deployment: 'rt-west' },
  keyVariable: 'KEY_AZURE',
}

function configOf(pools: object[] | undefined, env: Record<string, string> = { OPENAI_API_KEY: 'own-key-of-tests' }) {
  const file = join(folder, 'limits.json')
  writeFileSync(file, JSON.stringify({ pools: pools?.map((pool, i) => ({ pool: `p${i}`, callsMax: 10, ...pool })) }))
  const read = readConfig({ SIGNATURE_CHECK: 'on', ...env, ...(pools === undefined ? {} : { LIMITS_FILE: file }) })
  if (read.kind === 'invalid') assert.fail(JSON.stringify(read.problems))
  return read.config
}

const places = (config: Config, keys: Record<string, string>): [string, object][] =>
  [...placesOf(config, limitsOf(config), keys)].map(([, { url, headers }]) => [url.href, headers])

/** What the start says; fails when it says nothing. */
function refusal(config: Config, keys: Record<string, string> = {}): string {
  try {
    placesOf(config, limitsOf(config), keys)
  } catch (error) {
    assert.ok(error instanceof VoiceError && error.code === 'CONFIG_INVALID', String(error))
    return error.message
  }
  return assert.fail('nothing was refused')
}

test('each pool has its place: named, of Azure, or the plane’s own provider', () => {
  const config = configOf([
    {},
    { endpoint: EU },
    { endpoint: { ...EU, url: 'wss://gateway.example.com/v1/realtime?x=1', model: 'gpt-realtime-mini' } },
    { endpoint: { ...EU, url: 'ws://127.0.0.1:9/v1/realtime?model=m' } },
    { endpoint: AZURE },
  ])
  const bearer = { authorization: 'Bearer key-of-europe' }
  assert.deepEqual(places(config, KEYS), [
    ['wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1', { authorization: 'Bearer own-key-of-tests' }],
    ['wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1', bearer],
    ['wss://gateway.example.com/v1/realtime?x=1&model=gpt-realtime-mini', bearer],
    ['ws://127.0.0.1:9/v1/realtime?model=m', bearer],
    ['wss://west.openai.azure.com/openai/v1/realtime?model=rt-west', { 'api-key': 'key-of-azure' }],
  ])
})

test('[CF3] a key may come from a file', () => {
  const file = join(folder, 'key')
  writeFileSync(file, ' key-in-a-file\n')
  const config = configOf([{ endpoint: EU }])
  assert.deepEqual(places(config, { KEY_EU_FILE: file })[0]![1], { authorization: 'Bearer key-in-a-file' })
})

test('[CF3] [P84] an empty file of a pool’s key is said to be empty', () => {
  const file = join(folder, 'empty')
  writeFileSync(file, '\n')
  const text = refusal(configOf([{ endpoint: EU }]), { KEY_EU_FILE: file })
  assert.match(text, /KEY_EU_FILE: names an empty file; write KEY_EU into it/)
  assert.doesNotMatch(text, /is not set/)
})

test('[PP1] [CF3] all that is wrong is said at once, with its fix and without a key', () => {
  const config = configOf(
    [
      {},
      { endpoint: EU },
      { endpoint: AZURE },
      { endpoint: { ...EU, keyVariable: 'KEY_ABSENT' } },
      { endpoint: { ...EU, keyVariable: 'TWILIO_AUTH_TOKEN' } },
      { endpoint: { ...EU, keyVariable: 'KEY_TWICE' } },
    ],
    { TWILIO_AUTH_TOKEN: 'token-of-the-carrier' },
  )
  const keys = {
    KEY_EU: 'two words',
    KEY_AZURE: 'short',
    TWILIO_AUTH_TOKEN: 'token-of-the-carrier',
    KEY_TWICE: 'a'.repeat(9),
  }
  const text = refusal(config, { ...keys, KEY_TWICE_FILE: '/nowhere' })
  const lines = text.split('\n')
  assert.equal(lines[0], 'The pools of LIMITS_FILE have problems:')
  const starts = ['KEY_EU: does not', 'KEY_AZURE: does not', 'KEY_ABSENT: is not set', 'TWILIO_AUTH_TOKEN: is no key']
  for (const [i, start] of [...starts, 'KEY_TWICE_FILE: is set beside', 'the pool p0 has no endpoint'].entries()) {
    assert.ok(lines[i + 1]?.startsWith(`  ${start}`), `${start}: ${lines[i + 1]}`)
  }
  assert.equal(lines.length, 7)
  assert.doesNotMatch(text, /two words|short|token-of|aaaa/)
})

test('without a provider and without a limits file there is a sentence that says what to set', () => {
  const open = () =>
    openModelPools(configOf(undefined, {}), { clock: systemClock, log: silentLog, metrics: new Metrics() })
  assert.throws(
    open,
    (error) => error instanceof VoiceError && error.code === 'CONFIG_INVALID' && /OPENAI_API_KEY/.test(error.message),
  )
})
