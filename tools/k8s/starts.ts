// Every pod of every rendering of the chart, started as it is rendered, until its own probes say that it is ready. Rules:
// KS1: the configuration of each container is read first, by the plane’s own reader: a problem, or a setting that does nothing in its role, is a finding
//      with its variable.
// KS2: each variant has a database of its own: its migration job ends with 0 before its pods start; a variant without the job is
//      migrated by hand, as the documentation says.
// KS3: a pod is ready when each probe of each of its containers is answered with 200; each start has a bound.
import { mkdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { readConfig } from '../../src/config.ts'
import type { ConfiguredRole } from '../../src/config-checks.ts'
import { unusedSettings } from '../../src/unused-settings.ts'
import { describeEnd, runChild } from '../child.ts'
import { type Launched, launch } from '../launch.ts'
import { startPostgres } from '../servers/postgres.ts'
import { startRedis } from '../servers/redis.ts'
import { type Manifest, NAMESPACE, renderChart } from './chart.ts'
import { makePodFolder, type PodPlace, probeUrl, resolveContainer, type Secrets, type Startable } from './kubelet.ts'
import { type Container, findWorkloads, type Probe, type Workload } from './pods.ts'
import type { K8sTools } from './programs.ts'
import { VARIANTS, type Variant } from './variants.ts'

const MIGRATE_MAX_MS = 60_000
const READY_MAX_MS = 60_000
const PROBE_MAX_MS = 2_000
/** Variants that start at one time; each has three processes at most. */
const AT_ONCE = 2
/** Redis has sixteen databases. */
const VARIANTS_MAX = 16

/** What one variant gave. */
type Started = {
  variant: string
  /** The roles whose pods became ready, or whose job ended with 0. */
  roles: string[]
  problems: string[]
  /** /metrics of the edge pod. */
  metrics: string
}

/** The Secrets that the variants of the chart refer to. */
export function secretsFor(urls: { redis: string; database: string }): Secrets {
  const texts = {
    TWILIO_AUTH_TOKEN: '0123456789abcdef0123456789abcdef',
    STREAM_TOKEN_SECRET: 'a-secret-for-streams-of-32-characters-and-more',
    REDIS_URL: urls.redis,
    DATABASE_URL: urls.database,
    DIRECT_URL: urls.database,
    OPENAI_API_KEY: 'a-key-that-opens-nothing',
  }
  return {
    voiceplane: { ...texts, BOOKING_PASSWORD: 'a-password-of-an-agent' },
    azure: { key: 'another-key-that-opens-nothing' },
    'eu-keys': { realtime: 'a-key-of-another-region' },
  }
}

/** The Secrets that a rendering brings itself. */
export function renderedSecrets(manifests: readonly Manifest[]): Secrets {
  const secrets = manifests.filter(({ kind }) => kind === 'Secret')
  return Object.fromEntries(
    secrets.map(({ metadata, stringData }) => [metadata.name, stringData as Record<string, string>]),
  )
}

/** The roles of the plane, as `app.kubernetes.io/component` names them. */
export const ROLES = ['edge', 'worker', 'migrate']

/** The workloads of a rendering that are roles of the plane. */
export function ownWorkloads(manifests: readonly Manifest[]): Workload[] {
  return findWorkloads(manifests).filter((workload) => ROLES.includes(roleOf(workload)))
}

export const roleOf = ({ labels }: Workload): string => labels['app.kubernetes.io/component'] ?? ''

/** [KS1] One text for each problem of a container's configuration. */
export function configProblems(workload: Workload, startable: Startable): string[] {
  const read = readConfig(startable.asRendered, roleOf(workload) as ConfiguredRole)
  if (read.kind === 'ok') {
    const role = roleOf(workload)
    if (role !== 'edge' && role !== 'worker') return []
    return unusedSettings(role, read.config).nowhere.map(
      ({ name, why }) => `${workload.title}: ${name} does nothing there: ${why}`,
    )
  }
  return read.problems.map(({ variable, problem, fix }) => `${workload.title}: ${variable} ${problem}; ${fix}`)
}

/** Places for the pods of a variant: an address and a name for each, as a Deployment names them. */
export function placeOf(
  workload: Workload,
  variant: { index: number; at: number },
  rest: Omit<PodPlace, 'name' | 'address'>,
): PodPlace {
  return { ...rest, name: `${workload.name}-7d9c6b5f48-x2x4z`, address: `127.7.${variant.index + 1}.${variant.at + 2}` }
}

/** Starts all variants and ends them again. One that brings its own stores is started by test/deploy/try.test.ts. */
export async function startVariants(
  tools: K8sTools,
  variants: readonly Variant[] = VARIANTS.filter(({ bringsStores }) => bringsStores !== true),
): Promise<Started[]> {
  if (variants.length > VARIANTS_MAX) throw new Error(`more than ${VARIANTS_MAX} variants`)
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  const folder = makePodFolder(tmpdir())
  try {
    const results: Started[] = []
    const waiting = variants.map((variant, index) => ({ variant, index }))
    const next = async (): Promise<void> => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
        const urls = { redis: `${redis.url}/${one.index}`, database: await makeDatabase(postgres.url, `v${one.index}`) }
        results[one.index] = await startVariant(tools, one, { folder, secrets: secretsFor(urls) })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, next))
    return results
  } finally {
    await Promise.all([redis.stop(), postgres.stop()])
    rmSync(folder, { recursive: true, force: true })
  }
}

async function makeDatabase(url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`create database ${name}`)
  } finally {
    await client.end()
  }
  return url.replace(/\/[^/]*$/, `/${name}`)
}

type Ground = { folder: string; secrets: Secrets }

async function startVariant(
  tools: K8sTools,
  { variant, index }: { variant: Variant; index: number },
  ground: Ground,
): Promise<Started> {
  const started: Started = { variant: variant.title, roles: [], problems: [], metrics: '' }
  const rendered = await renderChart(tools, variant.options)
  if (rendered.kind === 'refused') return { ...started, problems: [rendered.reason] }
  const { manifests } = rendered
  const folder = join(ground.folder, `variant-${index}`)
  mkdirSync(folder)
  const rest = { namespace: NAMESPACE, folder, manifests, secrets: ground.secrets }
  const workloads = ownWorkloads(manifests)
  const places = new Map(workloads.map((workload, at) => [workload, placeOf(workload, { index, at }, rest)]))
  const resolve = (workload: Workload) =>
    workload.pod.containers.map((container) => resolveContainer(workload.pod, container, places.get(workload)!))
  const job = workloads.find((workload) => workload.kind === 'Job')
  const pods = workloads.filter((workload) => workload.kind === 'Deployment')
  // [KS2] By hand: the same image with the role in place of the edge's own.
  const byHand = () => resolve(pods[0]!).map((one) => ({ ...one, args: [...one.args.slice(0, -1), 'migrate'] }))
  const problem = await runJob((job === undefined ? byHand() : resolve(job))[0]!)
  if (problem !== undefined) return { ...started, problems: [problem] }
  if (job !== undefined) started.roles.push(roleOf(job))
  await Promise.all(
    pods.map(async (workload) => {
      const problems = await runPod(workload, resolve(workload), places.get(workload)!, async (address) => {
        if (roleOf(workload) === 'edge') started.metrics = await metricsOf(workload, address)
      })
      if (problems.length === 0) started.roles.push(roleOf(workload))
      started.problems.push(...problems)
    }),
  )
  return started
}

export async function runJob({ name, command, args, env }: Startable): Promise<string | undefined> {
  const { end, lines } = await runChild(command, args, { env, maxMs: MIGRATE_MAX_MS, output: 'keep' })
  if (end.kind === 'exited' && end.code === 0) return undefined
  return `${name}: ${describeEnd(end)}: ${lines.slice(-4).join(' | ')}`
}

/** [KS3] Starts the containers of a pod, all at once as the kubelet does; resolves when each is ready, rejects when one is not. */
export async function startPod(
  workload: Workload,
  startables: readonly Startable[],
  place: PodPlace,
  running: Launched[],
): Promise<void> {
  const started = await Promise.allSettled(
    startables.map(async (startable, at) => {
      const container = workload.pod.containers[at]!
      const launched = await launch({
        ...startable,
        name: `${workload.title}/${container.name}`,
        logFile: join(place.folder, `${place.name}-${container.name}.log`),
        readyMaxMs: READY_MAX_MS,
        isReady: () => answersAll(container, place.address),
      })
      running.push(launched)
    }),
  )
  const failed = started.find((one) => one.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

async function runPod(
  workload: Workload,
  startables: readonly Startable[],
  place: PodPlace,
  whenReady: (address: string) => Promise<void>,
): Promise<string[]> {
  const running: Launched[] = []
  try {
    await startPod(workload, startables, place, running)
    await whenReady(place.address)
    return []
  } catch (error) {
    return [(error as Error).message]
  } finally {
    await Promise.all(running.map((one) => one.stop({ signal: 'SIGKILL' })))
  }
}

async function answersAll(container: Container, address: string): Promise<boolean> {
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe].filter(
    (one) => one !== undefined,
  )
  for (const probe of probes) {
    if (!(await answers(container, probe, address))) return false
  }
  return probes.length > 0
}

async function answers(container: Container, probe: Probe, address: string): Promise<boolean> {
  if (probe.exec !== undefined) {
    const [command = '', ...args] = probe.exec.command
    const env = { PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
    const { end } = await runChild(command, args, { env, maxMs: READY_MAX_MS, output: 'keep' })
    return end.kind === 'exited' && end.code === 0
  }
  const url = new URL(probeUrl(container, probe, address))
  if (probe.tcpSocket !== undefined) return opens(url.hostname, Number(url.port))
  return (await fetch(url, { signal: AbortSignal.timeout(PROBE_MAX_MS) })).status === 200
}

function opens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const settle = (isOpen: boolean) => {
      socket.destroy()
      resolve(isOpen)
    }
    socket.setTimeout(PROBE_MAX_MS, () => settle(false))
    socket.on('connect', () => settle(true)).on('error', () => settle(false))
  })
}

async function metricsOf(workload: Workload, address: string): Promise<string> {
  const [container] = workload.pod.containers
  const url = new URL('/metrics', probeUrl(container!, container!.readinessProbe, address))
  const ops = container!.ports?.find(({ name }) => name === 'ops')
  if (ops !== undefined) url.port = String(ops.containerPort)
  return (await fetch(url, { signal: AbortSignal.timeout(PROBE_MAX_MS) })).text()
}
