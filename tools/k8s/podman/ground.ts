// What stands around the pods: Redis and Postgres of this machine, made reachable from the pods' network, and the chart's ingress.
// Rules:
// PG1: the stores listen on 127.0.0.1; a relay on the bridge's own address is all that the pods see of them.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startOpenAiSim } from '../../../sim/openai/sim.ts'
import { launch } from '../../launch.ts'
import { findFreePort } from '../../ports.ts'
import { startPostgres } from '../../servers/postgres.ts'
import { startRedis } from '../../servers/redis.ts'
import { renderChart } from '../chart.ts'
import { startNameServer } from '../dns.ts'
import { writeIngress } from '../ingress.ts'
import type { K8sTools } from '../programs.ts'
import { IMAGE } from './image.ts'
import { podman } from './program.ts'

const HOLDER = 'voiceplane-check-bridge'
/** The bridge stands as long as this container runs. */
const HOLD_SECONDS = 1_800

export type Ground = {
  /** As the pods see them. */
  redisUrl: string
  databaseUrl: string
  /** The first addresses of the pods' network that are free for them. */
  addresses: readonly string[]
  model: { host: string; port: number }
  close(): Promise<void>
}

/** Starts the stores and the pods' network. */
export async function layGround(): Promise<Ground> {
  const closers: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of closers.reverse()) await end().catch(() => {})
  }
  try {
    const redis = await startRedis()
    closers.push(() => redis.stop())
    const postgres = await startPostgres()
    closers.push(() => postgres.stop())
    await podman(['rm', '-f', '-i', HOLDER])
    const hold = ['--no-healthcheck', '--network', 'podman', '--entrypoint', 'sleep', IMAGE, String(HOLD_SECONDS)]
    await podman(['run', '-d', '--name', HOLDER, ...hold])
    closers.push(() => podman(['rm', '-f', '-t', '1', HOLDER]))
    const [gateway = ''] = await podman(['inspect', HOLDER, '--format', '{{.NetworkSettings.Networks.podman.Gateway}}'])
    const model = await startOpenAiSim({ thinkMs: 200 })
    closers.push(() => model.close())
    const modelPort = Number(new URL(model.url).port)
    for (const port of [redis.port, postgres.port, modelPort]) {
      const relay = await startRelay(gateway, port)
      closers.push(() => new Promise((resolve) => relay.close(resolve)))
    }
    const at = (url: string) => url.replace('127.0.0.1', gateway)
    const prefix = gateway.split('.').slice(0, 3).join('.')
    const addresses = [201, 202, 203, 204].map((last) => `${prefix}.${last}`)
    const urls = { redisUrl: at(redis.url), databaseUrl: at(postgres.url) }
    return { ...urls, addresses, model: { host: gateway, port: modelPort }, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Hands what comes to `address` on to the same port of 127.0.0.1. */
function startRelay(address: string, port: number): Promise<Server> {
  const server = createServer((outer) => {
    const inner = connect(port, '127.0.0.1')
    outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
    inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
    outer.pipe(inner).pipe(outer)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, () => resolve(server))
  })
}

/** The chart's ingress before pods at `addresses`; resolves when HAProxy runs. */
export async function startIngress(
  tools: K8sTools,
  addresses: readonly string[],
): Promise<{ port: number; close(): Promise<void> }> {
  const [port, metricsPort] = [await findFreePort(), await findFreePort()]
  const names = await startNameServer(addresses)
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-ingress-'))
  chmodSync(folder, 0o755)
  const sets = [`ingress.httpPort=${port}`, `ingress.metricsPort=${metricsPort}`]
  const rendered = await renderChart(tools, { sets: [...sets, `ingress.nameserver=127.0.0.1:${names.port}`] })
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  const args = ['-W', '-db', '-f', writeIngress(rendered.manifests, folder)!]
  const isReadyLine = (line: string) => line.includes('Loading success')
  const proxy = await launch({
    name: 'the ingress',
    command: 'haproxy',
    args,
    user: 'haproxy',
    isReadyLine,
    deathSignal: 'SIGTERM',
  })
  return {
    port,
    close: async () => {
      await proxy.stop()
      await names.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
