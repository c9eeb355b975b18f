// The command line of `npm run fleet` and the environment of its pods.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  callsMaxOf,
  namesModel,
  podEnvironment,
  sharedEnvironment,
  workerEnvironment,
} from '../../tools/fleet/environment.ts'
import { HELP, operatorEnvironment, readArguments } from '../../tools/fleet/main.ts'

const PLACES = {
  baseUrl: 'http://127.0.0.1:8080',
  redisUrl: 'redis://127.0.0.1:1',
  databaseUrl: 'postgres://postgres@127.0.0.1:2/postgres',
  model: { url: 'ws://127.0.0.1:3/v1/realtime' },
}
const LIMITS = { pods: 3, ceiling: 100 }

test('every option is told in the help and read; without any there are defaults', () => {
  const asked = readArguments([
    '--pods',
    '5',
    '--workers',
    '2',
    '--port',
    '9000',
    '--ceiling',
    '40',
    '--calls-max=7',
    '--talk-s',
    '60',
    '--tool-every',
    '3',
    '--restart',
    '--logs',
    'x',
  ])
  const numbers = { pods: 5, workers: 2, port: 9000, ceiling: 40, callsMax: 7, talkS: 60, toolEvery: 3 }
  assert.deepEqual(asked, { kind: 'run', ...numbers, restart: true, logs: 'x' })
  const plain = readArguments([])
  assert.ok(plain.kind === 'run' && plain.pods === 3 && plain.port === 8080 && plain.ceiling === 100 && !plain.restart)
  assert.ok(plain.workers === 1 && readArguments(['--workers', '0']).kind === 'run')
  for (const name of [
    'pods',
    'workers',
    'port',
    'ceiling',
    'calls-max',
    'talk-s',
    'tool-every',
    'restart',
    'logs',
    'help',
  ])
    assert.match(HELP, new RegExp(`^ {2}--${name}\\b`, 'm'))
  assert.equal(readArguments(['--help']).kind, 'help')
})

test('all that is wrong with the arguments is told at once', () => {
  const asked = readArguments([
    '--pods',
    '0',
    '--workers',
    '21',
    '--port',
    'x',
    '--colour',
    'red',
    '--restart=yes',
    'now',
    '--ceiling',
  ])
  assert.ok(asked.kind === 'wrong')
  for (const part of [
    '--pods "0"',
    '--workers "21"',
    '--port "x"',
    '--ceiling needs',
    '--colour is unknown',
    '--restart takes',
    '"now"',
  ])
    assert.ok(
      asked.problems.some((problem) => problem.includes(part)),
      `${part}: ${asked.problems}`,
    )
})

test('[FE1] the environment wins over defaults, but not over where the parts are; a secret is made when there is none', () => {
  const env = { CALLS_MAX: '3', REDIS_URL: 'redis://elsewhere', PACK: 'clinic', TWILIO_AUTH_TOKEN_FILE: 'token.txt' }
  const shared = sharedEnvironment(env, LIMITS, PLACES)
  assert.deepEqual([shared.CALLS_MAX, shared.PACK, shared.REDIS_URL], ['3', 'clinic', PLACES.redisUrl])
  assert.equal(shared.TWILIO_AUTH_TOKEN, undefined, 'a token beside a file with a token')
  assert.match(shared.STREAM_TOKEN_SECRET!, /^[\w-]{43}$/)
  const other = sharedEnvironment({}, LIMITS, PLACES)
  assert.match(other.TWILIO_AUTH_TOKEN!, /^[0-9a-f]{32}$/)
  assert.notEqual(other.STREAM_TOKEN_SECRET, shared.STREAM_TOKEN_SECRET)
  assert.deepEqual(podEnvironment({ name: 'pod-1', host: '127.0.0.1', port: 5 }), {
    ...{ HOST: '127.0.0.1', PORT: '5', POD_NAME: 'pod-1', POD_ADDRESS: 'http://127.0.0.1:5' },
  })
  const worker = { HOST: '127.0.0.1', PORT: '6', POD_NAME: 'worker-1' }
  assert.deepEqual(workerEnvironment({ name: 'worker-1', host: '127.0.0.1', port: 6 }), worker)
})

test("[FE1] the key of the operator stays when the model is the operator's", () => {
  const env = { OPENAI_API_KEY: 'sk-the-operators-own' }
  assert.equal(namesModel(env), true)
  assert.equal(namesModel({ OPENAI_API_KEY: '' }), false)
  const shared = sharedEnvironment(env, LIMITS, { ...PLACES, model: undefined })
  assert.deepEqual([shared.OPENAI_API_KEY, shared.OPENAI_REALTIME_URL], ['sk-the-operators-own', undefined])
})

test('[FE2] all pods but one carry the ceiling, a single pod carries it alone, each with room for what it counts as fuller', () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((pods) => callsMaxOf({ pods, ceiling: 100 })),
    [130, 130, 80, 64],
  )
})

test("where a pod of the operator's would listen is no affair of the fleet's pods", () => {
  const env = {
    PORT: '1',
    HOST: 'x',
    POD_NAME: 'p',
    DATABASE_URL: 'd',
    REDIS_URL_FILE: 'f',
    LOG_LEVEL: 'warn',
    GONE: undefined,
  }
  assert.deepEqual(operatorEnvironment(env), { LOG_LEVEL: 'warn' })
})
