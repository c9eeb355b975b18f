// The probes: alive, ready with its reasons, and the metrics page.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type FastifyInstance, fastify } from 'fastify'
import { Gauge, Registry } from 'prom-client'
import { healthRoutes, metricsRoute } from './health.ts'
import type { LagReading } from './lag.ts'

const apps: FastifyInstance[] = []
after(() => Promise.all(apps.map((app) => app.close())))

async function open(reasons: string[] = [], isStuck = false, last: LagReading | undefined = undefined) {
  const registry = new Registry()
  let scrapes = 0
  new Gauge({
    name: 'probe',
    help: 'a probe',
    registers: [registry],
    async collect() {
      scrapes += 1
      await new Promise((resolve) => setImmediate(resolve))
      this.set(scrapes)
    },
  })
  const app = fastify()
  apps.push(app)
  await app.register(healthRoutes, { notReady: () => reasons, lag: { last, isStuck: () => isStuck } })
  await app.register(metricsRoute, { registry, operators: undefined })
  return app
}

test('[OPS-1][HE1] a live pod is alive while it drains; a stuck loop is not', async () => {
  const draining = await open(['draining'], false, { p99Ms: 1.5, maxMs: 2 })
  const alive = await draining.inject('/healthz')
  assert.equal(alive.statusCode, 200)
  assert.deepEqual(alive.json(), { alive: true, eventLoopLagMs: 1.5 })
  const stuck = await (await open([], true)).inject('/healthz')
  assert.equal(stuck.statusCode, 503)
  assert.deepEqual(stuck.json(), { alive: false, eventLoopLagMs: null })
})

test('[OPS-1][HE2] readiness names every reason against new calls', async () => {
  const ready = await (await open()).inject('/ready')
  assert.equal(ready.statusCode, 200)
  assert.deepEqual(ready.json(), { ready: true, reasons: [] })
  const reasons = ['draining', 'model not configured']
  const not = await (await open(reasons)).inject('/ready')
  assert.equal(not.statusCode, 503)
  assert.deepEqual(not.json(), { ready: false, reasons })
})

test('[HE3] scrapes at once share one page, a later one is fresh', async () => {
  const app = await open()
  const [one, two] = await Promise.all([app.inject('/metrics'), app.inject('/metrics')])
  assert.equal(one.statusCode, 200)
  assert.match(String(one.headers['content-type']), /^text\/plain; version=0\.0\.4/)
  assert.match(one.body, /\nprobe 1\n/)
  assert.equal(one.body, two.body)
  assert.match((await app.inject('/metrics')).body, /\nprobe 2\n/)
})
