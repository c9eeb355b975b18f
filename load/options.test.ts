import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseOptions } from './options.ts'

const parse = (...args: string[]) => parseOptions(args, {})

test('without arguments a run has its defaults', () => {
  const parsed = parse()
  assert.ok(parsed.kind === 'run')
  const { urls, calls, ratePerSecond, scenarios, processes } = parsed.options
  assert.deepEqual(
    { urls, calls, ratePerSecond, scenarios, processes },
    {
      urls: ['http://127.0.0.1:8080'],
      calls: 10,
      ratePerSecond: 20,
      scenarios: [{ name: 'talk', weight: 1 }],
      processes: 'auto',
    },
  )
})

test('all arguments are read', () => {
  const parsed = parse(
    '--url',
    'http://127.0.0.1:1/',
    '--url',
    'http://10.0.0.2:2',
    '--calls',
    '1000',
    '--ramp',
    '25.5/s',
    '--arrivals',
    'poisson',
    '--hold-s',
    '5',
    '--scenario',
    'talk=4,barge-in',
    '--processes',
    '4',
    '--seed',
    '9',
    '--json',
    'a.json',
    '--html',
    'a.html',
    '--model-witness',
    import.meta.filename,
    '--model-witness',
    import.meta.dirname,
    '--probe',
    '--no-status',
    '--auth-token',
    'secret-token',
  )
  assert.ok(parsed.kind === 'run', JSON.stringify(parsed))
  assert.deepEqual(parsed.options.urls, ['http://127.0.0.1:1', 'http://10.0.0.2:2'])
  assert.equal(parsed.options.ratePerSecond, 25.5)
  assert.deepEqual(parsed.options.scenarios, [
    { name: 'talk', weight: 4 },
    { name: 'barge-in', weight: 1 },
  ])
  assert.deepEqual(parsed.options.modelWitnesses, [import.meta.filename, import.meta.dirname])
  assert.equal(parsed.options.isProbing, true)
})

test('[O1] all problems are listed at once, each with its fix', () => {
  const parsed = parse(
    '--calls',
    '0',
    '--ramp',
    'fast',
    '--scenario',
    'shout,talk=-1',
    '--url',
    'ftp://127.0.0.1',
    '--bogus',
    'word',
    '--arrivals',
    'bursty',
    '--account-sid',
    'AC12',
    '--hold-s',
    '1.5',
  )
  assert.ok(parsed.kind === 'wrong')
  for (const word of [
    '--calls',
    '--ramp',
    'shout',
    'talk=-1',
    '--url',
    '--bogus',
    '--arrivals',
    '--account-sid',
    '--hold-s',
  ]) {
    assert.ok(
      parsed.problems.some((problem) => problem.includes(word)),
      `${word} in ${parsed.problems.join('; ')}`,
    )
  }
})

test('[O2] an address of someone else is refused unless allowed', () => {
  assert.equal(parse('--url', 'https://voice.example.com').kind, 'wrong')
  assert.equal(parse('--url', 'https://voice.example.com', '--allow-remote').kind, 'run')
  for (const near of ['http://localhost:1', 'http://[::1]:1', 'http://192.168.1.4', 'http://172.20.0.1']) {
    assert.equal(parse('--url', near).kind, 'run', near)
  }
  assert.equal(parse('--url', 'http://127.evil.example').kind, 'wrong')
})

test('an option without its value is a problem, help is help', () => {
  assert.equal(parse('--calls').kind, 'wrong')
  assert.equal(parse('--help', '--calls', '-1').kind, 'help')
})

test('[O1] files that cannot be written or read are known before the first call', () => {
  const parsed = parse('--json', 'no-such-folder/a.json', '--model-witness', 'no-such-log.jsonl')
  assert.ok(parsed.kind === 'wrong')
  assert.match(parsed.problems.join('\n'), /--json.*make it first\n--model-witness.*start the simulator/)
})

test('credentials come from the environment when no argument names them', () => {
  const parsed = parseOptions([], { TWILIO_AUTH_TOKEN: 'from-environment' })
  assert.ok(parsed.kind === 'run')
  assert.equal(parsed.options.authToken, 'from-environment')
})
