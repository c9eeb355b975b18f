// What role all does after its calls, in its own process.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fastify from 'fastify'
import { Registry } from 'prom-client'
import { type Config, readConfig } from '../../src/config.ts'
import { defaultLimits } from '../../src/control/limits.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { silentLog } from '../../src/kit/log.ts'
import { startWatch, until } from '../../src/kit/testing/patience.ts'
import { Operators, SCOPES } from '../../src/ops/operators.ts'
import { type Embedded, openEmbedded } from '../../src/pod/embedded/embedded.ts'
import { endRequest, nextSid, openRequest } from '../store/records-suite.ts'

const ADMIN = 'an-admin-token-of-24-characters'
const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const START_MAX_MS = 15_000
const folder = mkdtempSync(join(tmpdir(), 'voiceplane-embedded-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function configOf(name: string, env: Record<string, string> = {}): Config {
  const base = {
    DATA_DIR: join(folder, name),
    TWILIO_AUTH_TOKEN: 'token-of-this-test',
    ADMIN_TOKEN: ADMIN,
    WORK_POLL_MS: '20',
  }
  const reading = readConfig({ ...base, ...env })
  assert.equal(reading.kind, 'ok', JSON.stringify(reading))
  return (reading as { config: Config }).config
}

async function endCall({ stores: { records } }: Embedded): Promise<CallSid> {
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  await records.end(endRequest(callSid, 1))
  return callSid
}

/** The record once it has its analysis. */
async function analysed(embedded: Embedded, callSid: CallSid) {
  let record = await embedded.record(callSid)
  await until('the record has its analysis', async () => {
    record = await embedded.record(callSid)
    return record?.analysis !== undefined
  })
  return record!
}

const operators = new Operators([{ id: 'admin', scopes: SCOPES, token: ADMIN }], { log: silentLog, nowMs: () => 0 })

test('[S23] [PFO1] other users of the machine have no way to the database, whatever the umask; a folder that was there is left as it is', async () => {
  const modeOf = (...path: string[]) => (statSync(join(folder, ...path)).mode & 0o777).toString(8)
  const umask = process.umask(0)
  try {
    await (await openEmbedded(configOf('private/deep'), silentLog)).close()
    assert.deepEqual([modeOf('private/deep'), modeOf('private/deep/database')], ['700', '700'])
    // As an earlier version left it.
    chmodSync(join(folder, 'private/deep/database'), 0o755)
    chmodSync(join(folder, 'private/deep'), 0o755)
    await (await openEmbedded(configOf('private/deep'), silentLog)).close()
    assert.deepEqual([modeOf('private/deep'), modeOf('private/deep/database')], ['755', '700'])
  } finally {
    process.umask(umask)
  }
  mkdirSync(join(folder, 'shared'), { mode: 0o750 })
  await (await openEmbedded(configOf('shared'), silentLog)).close()
  assert.deepEqual([modeOf('shared'), modeOf('shared/database')], ['750', '700'])
})

test('[WORK-6][EM1] a call that ends gets its record in the same process, and the pod’s port shows it', async () => {
  const embedded = await openEmbedded(configOf('one'), silentLog)
  const callSid = await endCall(embedded)
  const record = await analysed(embedded, callSid)
  assert.equal(record.analysis?.analyser, 'rules')
  const app = fastify()
  const registry = new Registry()
  await embedded.alsoServe(app, registry, operators)
  const ask = (authorization: string) =>
    app.inject({ url: `/admin/calls/${callSid}`, headers: { authorization: `Bearer ${authorization}` } })
  assert.equal((await ask('wrong')).statusCode, 401)
  assert.equal((await ask(ADMIN)).json().callSid, callSid)
  assert.match(await registry.metrics(), /voice_postcall_items_total\{type="record",outcome="done"\} 1/)
  await app.close()
  await embedded.close()
})

test('[WORK-6][EM4] a call that an earlier process left live is ended and gets its record', async () => {
  const config = configOf('left-live')
  const first = await openEmbedded(config, silentLog)
  const callSid = nextSid()
  await first.stores.records.open(openRequest(callSid))
  await first.close()
  const sweep = { sweepMs: 50, settleMs: 0, silentMs: 100, callMaxMs: 60_000 }
  const second = await openEmbedded(config, silentLog, sweep)
  // As the pod does when it begins.
  await second.stores.leases.configure(defaultLimits(10).cell)
  try {
    const record = await analysed(second, callSid)
    assert.deepEqual([record.cause, record.transcript], ['carrier-lost', []])
  } finally {
    await second.close()
  }
})

test('[EM2] a second process on a folder keeps its calls in memory, and the next one finds those of the first', async () => {
  const config = configOf('two')
  const first = await openEmbedded(config, silentLog)
  const second = await openEmbedded(config, silentLog)
  assert.equal(first.folder, join(folder, 'two', 'database'))
  assert.equal(second.folder, undefined)
  const [kept, lost] = [await endCall(first), await endCall(second)]
  await Promise.all([analysed(first, kept), analysed(second, lost)])
  await Promise.all([first.close(), second.close()])
  const third = await openEmbedded(config, silentLog)
  assert.equal((await third.record(kept))?.analysis?.analyser, 'rules')
  assert.equal(await third.record(lost), undefined)
  await third.close()
})

test('[EM3] an item that hangs holds up the end for its bound only, and is still there at the next start', async (t) => {
  let asked = 0
  const hanging = createServer(() => {
    asked += 1
  }).listen(0, '127.0.0.1')
  t.after(() => {
    hanging.closeAllConnections()
    hanging.close()
  })
  await once(hanging, 'listening')
  const url = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/hook`
  const secret = 'a-secret-of-a-receiver'
  const crm = { CRM_WEBHOOK_URL: url, CRM_WEBHOOK_SECRET: secret, CRM_ALLOW_PRIVATE: 'on', CRM_TIMEOUT_MS: '60000' }
  const config = configOf('three', crm)
  const first = await openEmbedded(config, silentLog)
  await endCall(first)
  await until('the receiver is asked', () => asked > 0)
  const watch = startWatch()
  await first.close()
  assert.ok(watch.elapsedMs() < 5_000, 'the end waited for an item that hangs')
  const second = await openEmbedded(config, silentLog)
  const app = fastify()
  await second.alsoServe(app, new Registry(), operators)
  const headers = { authorization: `Bearer ${ADMIN}` }
  const { items } = (await app.inject({ url: '/admin/work?state=running', headers })).json() as {
    items: { type: string }[]
  }
  assert.deepEqual(
    items.map(({ type }) => type),
    ['crm'],
  )
  await app.close()
  await second.close()
})

test('the demonstration of role all starts in time and ends with the record of its call', {
  timeout: 90_000,
}, async () => {
  const env = {
    PATH: process.env.PATH,
    PORT: '0',
    DATA_DIR: join(folder, 'demo'),
    EXIT_AFTER_DEMO: 'on',
    PRICES: '{"currency":"EUR","carrierMinute":0.01}',
  }
  const watch = startWatch()
  const child = spawn(process.execPath, [MAIN, 'all'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let upMs = Number.POSITIVE_INFINITY
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (upMs === Number.POSITIVE_INFINITY && output.includes('Voiceplane answers on'))
        upMs = watch.elapsedMsOf(child.pid!)
    })
  const [code] = (await once(child, 'exit')) as [number | null]
  assert.equal(code, 0, output)
  assert.ok(upMs < START_MAX_MS, `up after ${upMs} ms`)
  assert.match(output, /Record of the call CA[0-9a-f]{32}/)
  assert.match(output, /duration +\d+\.\d s, turns \d/)
  assert.match(output, /summary +\S+/)
  assert.match(output, /cost +EUR \d+\.\d{4} model, 0\.0100 carrier/)
})
