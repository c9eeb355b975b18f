// Strangers at a worker's listener: bounded like those of a pod, and no hindrance for operators.
import assert from 'node:assert/strict'
import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../../src/config.ts'
import { silentLog } from '../../src/kit/log.ts'
import { UNAUTHENTICATED_MAX } from '../../src/kit/unauthenticated.ts'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { type RunningWorker, startWorker } from '../../src/worker.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'

const ADMIN_TOKEN = 'an-operators-token-for-the-tests'
const OVER = 100
const WITHIN_MS = 20_000

let postgres: Postgres
let worker: RunningWorker
before(async () => {
  postgres = await startPostgres()
  await runMigrations(postgres.url)
  const read = readConfig({
    ...{ PORT: '0', POD_NAME: 'worker-1', STREAM_TOKEN_SECRET: 's'.repeat(32), ANALYSIS: 'rules' },
    ...{ DATABASE_URL: postgres.url, ADMIN_TOKEN },
  })
  assert.ok(read.kind === 'ok', JSON.stringify(read))
  worker = await startWorker({ config: read.config, log: silentLog })
})
after(async () => {
  await worker?.close()
  await postgres?.stop()
})

type Asked = { status: number; port: number; text: string }
const metricsOn = (agent: Agent): Promise<Asked> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
    get(`${worker.url}/metrics`, { agent, headers }, (answer) => {
      const port = answer.socket.localPort!
      let text = ''
      answer.on('data', (part) => {
        text += String(part)
      })
      answer.on('end', () => resolve({ status: answer.statusCode!, port, text }))
    }).on('error', reject)
  })

test('[S2] [LIS2] silent connections at a worker are bounded, late heads end, and an operator keeps a connection', async () => {
  const { hostname, port } = new URL(worker.url)
  const silent: Socket[] = []
  let closed = 0
  for (let i = 0; i < UNAUTHENTICATED_MAX + OVER; i++) {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.on('close', () => {
      closed += 1
    })
    socket.resume()
    socket.write(i % 2 === 0 ? 'GET /metrics HTTP/1.1\r\n' : 'G')
    silent.push(socket)
    if (i % 50 === 49) await sleep(10)
  }
  const untilMs = performance.now() + WITHIN_MS
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const asked: Asked[] = []
  while (closed < silent.length && performance.now() < untilMs) {
    asked.push(await metricsOn(agent))
    await sleep(100)
  }
  agent.destroy()
  assert.equal(closed, silent.length)
  assert.deepEqual([...new Set(asked.map(({ status }) => status))], [200])
  assert.equal(new Set(asked.map((one) => one.port)).size, 1)
  const ended = /^voice_unauthenticated_ended_total (\d+)$/m.exec(asked.at(-1)!.text)?.[1]
  assert.ok(Number(ended) >= OVER, `ended: ${ended}`)
})
