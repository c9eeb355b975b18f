// Every command of README.md, ARCHITECTURE.md and docs/: run here as a newcomer would, checked by its program's own reading of the
// arguments, or listed with the reason why it cannot run here. What is in none of the three fails.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { after, before, test } from 'node:test'
import { readArguments as readChaosArguments } from '../../chaos/arguments.ts'
import { CASES as CHAOS_CASES } from '../../chaos/cases/cases.ts'
import { parseOptions as readLoadArguments } from '../../load/options.ts'
import { readFlags as readModelArguments } from '../../sim/openai/flags.ts'
import { readConfig } from '../../src/config.ts'
import { readArguments as readFleetArguments } from '../../tools/fleet/main.ts'
import { findFreePort } from '../../tools/ports.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import { startRedis } from '../../tools/servers/redis.ts'
import { ROOT } from '../../tools/tree.ts'
import { commandsOf, endAll, pages, runLine, runToEnd } from './commands.ts'

const PLAN = 'npm run plan -- --calls 1000 --minutes 3'
const PLAN_WITH_PRICES = `${PLAN} --price-audio-in 10 --price-audio-out 20 --price-carrier-minute 0.01`
const OWN_AGENT = 'AGENT_MODULE=./my-agent.ts OPENAI_API_KEY=… npm start'
const LOAD = 'npm run load -- --calls 50 --ramp 10/s --hold-s 30 --scenario talk=3,barge-in=1 --html report.html'
const EDGE = 'PUBLIC_BASE_URL=https://voice.example.com TWILIO_AUTH_TOKEN=… OPENAI_API_KEY=… npm run edge'
const FLEET = 'npm run fleet -- --pods 3'
const WORKER = 'DATABASE_URL=postgres://… ADMIN_TOKEN=… PORT=8090 npm run worker'
const SHARED = 'DATABASE_URL=postgres://… REDIS_URL=redis://… STREAM_TOKEN_SECRET=…'
const FLEET_MIGRATE = 'DATABASE_URL=postgres://… npm run migrate'
const FLEET_POD = `${SHARED} POD_NAME=pod-1 PUBLIC_BASE_URL=https://voice.example.com TWILIO_AUTH_TOKEN=… OPENAI_API_KEY=… npm run edge`
const FLEET_WORKER = `${SHARED} POD_NAME=worker-1 ADMIN_TOKEN=… PORT=8090 npm run worker`
const ERASE = `curl -H "Authorization: Bearer $ADMIN_TOKEN" -H 'content-type: application/json' -d '{"tenant":"default","from":"+15550100001"}' http://…/admin/erasures`
const KEYS = 'DATA_KEYS=2026-11:$(openssl rand -base64 32)'
const TOKENS = 'OPERATOR_TOKENS=scraper:metrics:$(openssl rand -hex 24),alice:read+work:$(openssl rand -hex 24)'

/** Run by the tests below, word for word but for `…`, free ports, scratch folders and fewer calls. */
const RUN = [
  ...['npm ci', 'npm start', OWN_AGENT, LOAD, EDGE, 'npm run edge', FLEET, 'npm run fleet', PLAN, PLAN_WITH_PRICES],
  ...[
    'npm run plan',
    WORKER,
    FLEET_MIGRATE,
    FLEET_POD,
    FLEET_WORKER,
    'npm run worker',
    'npm run migrate',
    'npm run reseal',
    ERASE,
    KEYS,
    TOKENS,
    'openssl rand -base64 32',
  ],
]

/** Cannot run here; the files that they name are looked for all the same. */
const LISTED: readonly { command: RegExp; why: string }[] = [
  { command: /^docker (build|push) /, why: 'needs Docker and a registry' },
  { command: /^kind load /, why: 'needs a cluster of kind' },
  { command: /^kubectl /, why: 'needs a cluster' },
  {
    command: /^helm (install|test)( |$)/,
    why: 'needs a cluster; test/deploy renders the same values and starts what comes out',
  },
  { command: /^helm (lint --strict|template)$/, why: 'named as a part of `npm run chart`, which runs them' },
  { command: /^npm run chart( -- --start)?$/, why: 'fetches helm; test/deploy runs its parts' },
  { command: /^uvicorn main:app --port \d+$/, why: 'starts a bridge of somebody else' },
  { command: /^npm run chart-containers$/, why: 'needs root, podman and three minutes' },
  { command: /^npm run (chart-schema|metrics-page|format)$/, why: 'writes files of the tree' },
  { command: /^npm run figures -- /, why: 'reads what a bench has printed; tools/figures.test.ts has it' },
]

/** Too long to run here: their arguments are read by the program that would run, and its help must come on this machine. */
const CHECKED: readonly { command: RegExp; check: (words: string[]) => void }[] = [
  {
    command: /^npm test( --|$)/,
    check: ([, ...paths]) => {
      for (const path of paths) assert.ok(existsSync(join(ROOT, path)), path)
    },
  },
  { command: /^npm run (check|cases)$/, check: () => undefined },
  {
    command: /^npm run bench -- /,
    check: ([, name, ...flags]) => {
      assert.match(helpOf('bench'), new RegExp(`^ {2}${name} `, 'm'))
      for (const flag of flags.filter((word) => word.startsWith('--'))) assert.ok(helpOf('bench').includes(flag), flag)
    },
  },
  {
    command: /^npm run chaos( --|$)/,
    check: ([, ...args]) => {
      const asked = readChaosArguments(
        args.map((arg) => (arg === '<name>' ? 'kill-pod' : arg)),
        Object.keys(CHAOS_CASES),
      )
      assert.notEqual(asked.kind, 'wrong', JSON.stringify(asked))
    },
  },
  {
    command: /^npm run fleet -- /,
    check: ([, ...args]) => {
      const asked = readFleetArguments(args.map((arg) => (arg === 'N' ? '1' : arg)))
      assert.notEqual(asked.kind, 'wrong', JSON.stringify(asked))
    },
  },
  {
    command: /^npm run sim-model -- /,
    check: ([, ...args]) => assert.notEqual(readModelArguments(args).kind, 'wrong'),
  },
  {
    command: /^npm run load -- /,
    check: ([, ...args]) => assert.notEqual(readLoadArguments(args, {}).kind, 'wrong'),
  },
]
const HELPED = ['check', 'cases', 'bench', 'chaos', 'fleet', 'load'] as const
const helps = new Map<string, string>()
const helpOf = (script: string): string => helps.get(script) ?? ''

const documented = pages().flatMap((page) => commandsOf(page))
const scratch = join(ROOT, '.data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(join(scratch, 'docs-'))
let database: Postgres | undefined
before(async () => {
  database = await startPostgres()
})
after(async () => {
  endAll()
  await database?.stop()
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
const own = (name: string) => ({ DATA_DIR: join(folder, name), LOG_LEVEL: 'info' })
/** What stands for `…`: a secret long enough for each variable. */
const filled = (command: string): string => command.replaceAll('=…', `=${'x'.repeat(40)}`)

test('[O12] every documented command is run, checked or listed with a reason', (t) => {
  assert.ok(documented.length > 50, String(documented.length))
  const isKnown = (command: string) =>
    RUN.includes(command) || [...LISTED, ...CHECKED].some((one) => one.command.test(command))
  const unknown = documented.filter(({ command }) => !isKnown(command))
  assert.deepEqual(
    unknown.map(({ page, line, command }) => `${page}:${line}: ${command}`),
    [],
  )
  const gone = RUN.filter((command) => !documented.some((one) => one.command === command))
  assert.deepEqual(gone, [], 'they are run here and stand on no page')
  const unused = LISTED.filter((one) => !documented.some(({ command }) => one.command.test(command)))
  t.diagnostic(
    `${documented.length} commands; listed and on no page: ${unused.map(({ command }) => command).join(' ')}`,
  )
})

test('[O12] a page cannot have a command that nobody finds', () => {
  const page = [
    'text',
    '',
    '    psql -c x',
    '',
    '```sh',
    'npm start && npm run edge # remark',
    '```',
    'and `kind get x`.',
  ].join('\n')
  assert.deepEqual(
    commandsOf('page.md', page).map(({ line, command }) => `${line} ${command}`),
    ['3 psql -c x', '6 npm start', '6 npm run edge', '8 kind get x'],
  )
  assert.throws(() => commandsOf('page.md', '```\nnpm start\n```'), /needs a language/)
})

test('[O12] every script that a page names exists and asks for Node 24 in words; every file that a command names exists', () => {
  for (const { page, line, command } of documented) {
    const script = /\bnpm (?:run )?([a-z-]+)/.exec(command)?.[1]
    if (script !== undefined && script !== 'ci') {
      const text = manifest.scripts[script]
      assert.ok(text !== undefined, `${page}:${line}: there is no script ${script}`)
      if (text.startsWith('node '))
        assert.equal(manifest.scripts[`pre${script}`], 'node tools/node-version.mjs', script)
    }
    assert.doesNotMatch(command, /\bnode \S+\.ts\b/, `${page}:${line}: Node 20 cannot read it, name an npm script`)
    for (const [path] of command.matchAll(/\b(deploy|tools|src|test|chaos)\/[\w./-]+/g))
      assert.ok(existsSync(join(ROOT, path)), `${page}:${line}: ${path} does not exist`)
  }
})

test('[O12] npm ci accepts the lock file', async () => {
  const empty = join(folder, 'ci')
  mkdirSync(empty)
  for (const name of ['package.json', 'package-lock.json', '.npmrc'])
    if (existsSync(join(ROOT, name))) await cp(join(ROOT, name), join(empty, name))
  await runToEnd('npm ci --dry-run --ignore-scripts --no-audit', {}, empty)
})

test('[O12] the help of each long command comes on the machine of a newcomer, and knows what the pages ask', async () => {
  for (const script of HELPED) helps.set(script, await runToEnd(`npm run -s ${script} -- --help`))
  await runToEnd('npm test -- --help')
  for (const { page, line, command } of documented) {
    const check = CHECKED.find((one) => one.command.test(command))?.check
    const words = command
      .replace(/^npm (run [a-z-]+|test)/, (name) => name.split(' ').at(-1)!)
      .replace(' -- ', ' ')
      .split(' ')
    assert.doesNotThrow(() => check?.(words), `${page}:${line}: ${command}`)
  }
})

test('[O12] npm start places its call and ends well', async (t) => {
  t.diagnostic(`the machine's own node is ${(await runToEnd('node --version')).trim()}`)
  const said = await runToEnd('npm start', { ...own('plane'), PORT: '0', EXIT_AFTER_DEMO: 'on' })
  assert.match(said, /OFFLINE MODEL/)
  assert.match(said, /voice to voice \d+ ms/)
  assert.ok(existsSync(join(folder, 'plane/demo-call.wav')))
})

test('[O12] the agent of the README answers the load generator’s calls', async () => {
  const agent = /```ts\n(\/\/ my-agent\.ts\n[\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1]
  writeFileSync(join(folder, 'my-agent.ts'), agent!)
  const model = runLine(`npm run sim-model -- --speech-dir ${join(folder, 'plane/speech')}`)
  const [, modelUrl] = await model.says(/"url":"([^"]+)"/)
  const line = filled(OWN_AGENT).replace('./my-agent.ts', `./${relative(ROOT, join(folder, 'my-agent.ts'))}`)
  const settings = { OPENAI_REALTIME_URL: modelUrl!, PORT: '0', DEMO_CALL: 'off', ANALYSIS: 'rules' }
  const plane = runLine(line, { ...own('plane'), ...settings })
  const [, url] = await plane.says(/answers on (http:\S+) \(pod pod-1, pack/)
  const report = join(folder, 'report.html')
  await runToEnd(`${LOAD} --url ${url} --calls 3 --hold-s 15 --html ${report}`)
  assert.match(readFileSync(report, 'utf8'), /<html/)
  await plane.interrupt()
  await model.interrupt()
})

test('[O12] npm run edge refuses what the carrier did not sign', async () => {
  const port = await findFreePort()
  const edge = runLine(filled(EDGE), { ...own('edge'), PORT: String(port) })
  await edge.says(/the edge is listening/)
  const answer = await fetch(`http://127.0.0.1:${port}/twilio/voice`, {
    method: 'POST',
    body: new URLSearchParams({ CallSid: 'x' }),
  })
  assert.equal(answer.status, 403)
  await edge.interrupt()
  assert.match(edge.said(), /"after":"down"/)
})

test('[O12] a fleet starts, and its own advice to place calls is right', async () => {
  const port = await findFreePort()
  const logs = join(folder, 'fleet')
  const fleet = runLine(`${FLEET} --pods 2 --port ${port} --logs ${logs}`, own('fleet'))
  const [, advised] = await fleet.says(/from another terminal:\n\s+(.*npm run load .*)\n/)
  await runToEnd(`${advised} --calls 2 --hold-s 15`)
  await fleet.interrupt()
  assert.match(fleet.said(), /everything has ended/)
})

test('[O12] npm run plan says how many pods', async () => {
  assert.match(await runToEnd(PLAN), /pods/)
  assert.match(await runToEnd(PLAN_WITH_PRICES), /cost/i)
})

test('[O12] the documented keys and tokens are accepted as they stand', async () => {
  const values = await runToEnd(`${KEYS}; ${TOKENS}; echo "$DATA_KEYS"; echo "$OPERATOR_TOKENS"`)
  const [keys, tokens] = values.trim().split('\n')
  const reading = readConfig({ DATA_KEYS: keys, OPERATOR_TOKENS: tokens })
  assert.equal(reading.kind, 'ok', JSON.stringify(reading))
  assert.ok(
    reading.kind === 'ok' && reading.config.ops.operators.length === 2 && reading.config.fleet.sealer !== undefined,
  )
})

test('[O12] a worker works on a migrated database, erases on request, and its data is sealed anew', async () => {
  const env = { DATABASE_URL: database!.url, DATA_KEYS: `2026-11:${Buffer.alloc(32, 7).toString('base64')}` }
  await runToEnd('npm run migrate', { ...own('migrate'), ...env })
  const port = await findFreePort()
  const ADMIN_TOKEN = 'x'.repeat(40)
  const line = filled(WORKER).replace('postgres://…', database!.url).replace('PORT=8090', `PORT=${port}`)
  const worker = runLine(line, { ...own('worker'), DATA_KEYS: env.DATA_KEYS })
  await worker.says(/the worker is listening/)
  const answer = await runToEnd(`${ERASE} -sS`.replace('http://…', `http://127.0.0.1:${port}`), { ADMIN_TOKEN })
  assert.match(answer, /"calls":0/)
  assert.match(await runToEnd('npm run reseal', { ...own('reseal'), ...env }), /rows looked at/)
  await worker.interrupt()
})

test('[O12] the three lines of a fleet without Kubernetes start a pod and a worker that are ready', async () => {
  const [redis, port, workerPort] = [await startRedis(), await findFreePort(), await findFreePort()]
  try {
    const placed = (line: string) =>
      filled(line)
        .replace('postgres://…', database!.url)
        .replace('redis://…', redis.url)
        .replace('PORT=8090', `PORT=${workerPort}`)
    await runToEnd(placed(FLEET_MIGRATE), own('lines-migrate'))
    const pod = runLine(placed(FLEET_POD), { ...own('lines-pod'), PORT: String(port) })
    const worker = runLine(placed(FLEET_WORKER), own('lines-worker'))
    await pod.says(/the edge is listening/)
    await worker.says(/the worker is listening/)
    assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 200)
    await worker.interrupt()
    await pod.interrupt()
  } finally {
    await redis.stop()
  }
})
