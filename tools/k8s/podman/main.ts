// The rendered chart as containers: `npm run chart-containers` (minutes; needs root, podman, and the servers of the tests).
// It builds the image by deploy/Dockerfile, runs the migration, two edge pods over a real Redis and Postgres, and the ingress, and
// looks at what the containers are given and do. Rules:
// PM1: the manifests are those of helm, changed only as tools/k8s/podman/adapt.ts says.
// PM2: each look is one line; a failed one is exit code 1; whatever happens, everything that was started is taken down.
import '../../node-version.mjs'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { CallReport } from '../../../sim/twilio/sim.ts'
import { readCommandLine } from '../../command-line.ts'
import { type Manifest, renderChart } from '../chart.ts'
import { fetchK8sTools, type K8sTools } from '../programs.ts'
import { type Adapted, adaptForPodman, MODEL_PORT } from './adapt.ts'
import { placeCallers } from './callers.ts'
import { Carrier } from './carrier.ts'
import { type Ground, layGround, startIngress } from './ground.ts'
import { buildImage, IMAGE } from './image.ts'
import { missingOnMachine, podman } from './program.ts'

const READY_MAX_MS = 60_000
const JOB_MAX_MS = 90_000
const STOP_MAX_MS = 60_000
const GRACE_SECONDS = 600
const PORT = 8080
const BASE_URL = 'https://voice.example.com'
/** Long enough for natural ends (2 s here), handovers, and to be alive after them. */
const CALLS = { count: 12, stayMs: 40_000 }
const CALL_SID = `CA${'5'.repeat(32)}`

const USAGE = `npm run chart-containers

Runs the rendered chart as containers of this machine: the image by its Dockerfile, the migration, two edge pods and the
ingress, with a real Redis and PostgreSQL. Needs root, podman and three minutes.

  --help  this text`

let failures = 0
const say = (line: string): void => console.log(line)
function look(title: string, isTrue: boolean, seen?: unknown): void {
  if (!isTrue) failures += 1
  say(`${isTrue ? 'ok    ' : 'FAILED'}  ${title}${seen === undefined ? '' : ` (${String(seen)})`}`)
}

type Pod = Adapted & { name: string; address: string }

async function main(): Promise<void> {
  const missing = missingOnMachine()
  if (missing !== undefined) throw new Error(missing)
  const tools = await fetchK8sTools()
  if (tools.kind === 'failed') throw new Error(tools.message)
  await buildImage(say)
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-pods-'))
  const ground = await layGround()
  const played: string[] = []
  try {
    await runAll({ tools, folder, ground, played })
  } finally {
    for (const name of played) await podman(['pod', 'rm', '-f', '-t', '2', name], STOP_MAX_MS).catch(() => {})
    await ground.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function lookAtCallers(reports: readonly CallReport[]): void {
  const moved = reports.filter(({ resumes }) => resumes > 0)
  const seen = reports.map(
    ({ streams, endCause, wasDropped }) => `${streams} ${endCause}${wasDropped ? ' DROPPED' : ''}`,
  )
  look(
    'no call was dropped',
    reports.every(({ wasDropped }) => !wasDropped),
    seen.join(', '),
  )
  look(
    'every call was ended by its caller',
    reports.every(({ endCause }) => endCause === 'caller-hung-up'),
  )
  look('the calls of the pod that left went on in the other', moved.length > 0, `${moved.length} of ${reports.length}`)
}

type Run = { tools: K8sTools; folder: string; ground: Ground; played: string[] }

async function runAll(all: Run): Promise<void> {
  const [repository = '', tag = ''] = IMAGE.split(/:(?=[^:]*$)/)
  const sets = [`image.repository=${repository}`, `image.tag=${tag}`, 'image.pullPolicy=Never']
  // The chart's own settings, with a short wait for natural ends: these callers stay.
  const strings = [`settings.OPENAI_REALTIME_URL=ws://127.0.0.1:${MODEL_PORT}/v1/realtime`]
  const rendered = await renderChart(all.tools, { sets: [...sets, 'edge.drainNaturalSeconds=2'], strings })
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  const secrets = {
    TWILIO_AUTH_TOKEN: randomBytes(16).toString('hex'),
    STREAM_TOKEN_SECRET: randomBytes(32).toString('hex'),
    REDIS_URL: all.ground.redisUrl,
    DATABASE_URL: all.ground.databaseUrl,
    OPENAI_API_KEY: 'a-key-that-opens-nothing',
  }
  const [job, edge] = ['Job', 'Deployment'].map((kind) =>
    rendered.manifests.find((one) => one.kind === kind && /-(migrate|edge)$/.test(one.metadata.name)),
  ) as [Manifest, Manifest]
  const [first = '', second = '', third = ''] = all.ground.addresses
  await migrate(all, adaptForPodman(job, { name: 'vp-migrate', address: first, folder: all.folder, secrets }), first)
  const pods = [['vp-edge-aaaaa', second] as const, ['vp-edge-bbbbb', third] as const].map(([name, address]) => ({
    name,
    address,
    ...adaptForPodman(edge, { name, address, folder: all.folder, secrets, model: all.ground.model }),
  }))
  for (const pod of pods) await play(all, pod)
  for (const pod of pods) await lookAtPod(pod)
  const ingress = await startIngress(
    all.tools,
    pods.map(({ address }) => address),
  )
  try {
    const carrier = new Carrier({ port: ingress.port, baseUrl: BASE_URL, authToken: secrets.TWILIO_AUTH_TOKEN })
    await lookAtCalls(carrier, pods)
    const { port } = ingress
    const callers = await placeCallers({ port, baseUrl: BASE_URL, authToken: secrets.TWILIO_AUTH_TOKEN, ...CALLS })
    try {
      await lookAtLeaving(pods[0]!, carrier, pods[1]!)
      lookAtCallers(await callers.done)
    } finally {
      await callers.close()
    }
  } finally {
    await ingress.close()
  }
}

async function play(
  { folder, played }: Run,
  pod: { name: string; address: string; manifest: Manifest },
): Promise<void> {
  const file = join(folder, `${pod.name}.json`)
  writeFileSync(file, JSON.stringify(pod.manifest))
  played.push(pod.name)
  await podman(['play', 'kube', '--network', 'podman', '--ip', pod.address, file], 120_000)
}

const containerOf = (name: string, container: string): string => `${name}-${container}`

async function migrate(all: Run, job: Adapted, address: string): Promise<void> {
  await play(all, { name: 'vp-migrate', address, manifest: job.manifest })
  const container = containerOf('vp-migrate', 'migrate')
  const [code = ''] = await podman(['wait', container], JOB_MAX_MS)
  look('the migration job ends with 0', code === '0', code)
  if (code !== '0') for (const line of await podman(['logs', container])) say(`        ${line}`)
}

type Inspected = {
  Config: { User: string }
  HostConfig: { ReadonlyRootfs: boolean; Memory: number; NanoCpus: number; CpuQuota: number; CapDrop: string[] }
  EffectiveCaps: string[] | null
  State: { Status: string; ExitCode: number }
}

async function inspect(container: string): Promise<Inspected> {
  const [found] = JSON.parse((await podman(['inspect', container])).join('\n')) as Inspected[]
  return found!
}

async function get(address: string, path: string): Promise<{ status: number; text: string }> {
  const signal = AbortSignal.timeout(2_000)
  return fetch(`http://${address}:${PORT}${path}`, { signal }).then(
    async (response) => ({ status: response.status, text: await response.text() }),
    (error: Error) => ({ status: 0, text: error.message }),
  )
}

async function lookAtPod({ name, address }: Pod): Promise<void> {
  const container = containerOf(name, 'edge')
  const startedMs = performance.now()
  let ready = await get(address, '/ready')
  while (ready.status !== 200 && performance.now() - startedMs < READY_MAX_MS) {
    await delay(250)
    ready = await get(address, '/ready')
  }
  look(
    `${name} is ready`,
    ready.status === 200,
    `${Math.round(performance.now() - startedMs)} ms, ${ready.text.slice(0, 120)}`,
  )
  if (ready.status !== 200) for (const line of (await podman(['logs', container])).slice(-12)) say(`        ${line}`)
  look(`${name} is alive`, (await get(address, '/healthz')).status === 200)
  look(`${name} tells its calls`, /^voice_active_calls 0$/m.test((await get(address, '/metrics')).text))
  const { HostConfig, EffectiveCaps } = await inspect(container)
  look('its root file system is read-only', HostConfig.ReadonlyRootfs)
  look('its memory is limited to 512 MiB', HostConfig.Memory === 512 * 1024 * 1024, HostConfig.Memory)
  look(
    'its CPU is limited to one core',
    HostConfig.NanoCpus === 1e9 || HostConfig.CpuQuota === 100_000,
    HostConfig.CpuQuota,
  )
  look('it keeps no capability', (EffectiveCaps ?? []).length === 0, EffectiveCaps ?? 'none')
  const inside =
    'id -u; touch /app/x 2>/dev/null && echo wrote; touch /data/x && echo data; cat /proc/1/cmdline | tr "\\0" " "'
  const said = (await podman(['exec', container, 'sh', '-c', inside])).join(' ')
  look('user 1000, writes to /data and nowhere else, Node is process 1', /^1000 data node /.test(said), said)
}

async function lookAtCalls(carrier: Carrier, pods: readonly Pod[]): Promise<void> {
  const call = { CallSid: CALL_SID, AccountSid: `AC${'1'.repeat(32)}`, From: '+15005550001', To: '+15005550002' }
  const fields = { ...call, CallStatus: 'ringing', Direction: 'inbound', ApiVersion: '2010-04-01' }
  let answer = { status: 0, body: '' }
  // HAProxy learns of the pods from DNS and asks them; a store that has just begun admits nothing for ten seconds.
  for (const untilMs = performance.now() + 30_000; performance.now() < untilMs; await delay(500)) {
    answer = await carrier.post('/twilio/voice', fields)
    if (answer.body.includes('<Stream')) break
  }
  const path = /url="wss:\/\/[^/"]+(\/media\/[^"]+)"/.exec(answer.body)?.[1] ?? ''
  const named = path.split('/')[2] ?? ''
  const names = pods.map(({ address, name }) => `edge-${name.split('-').at(-1)}-${address.replaceAll('.', '-')}`)
  look(
    'a signed webhook through the ingress is answered with a stream to a named pod',
    names.includes(named),
    path === '' ? answer.body.slice(0, 200) : named,
  )
  if (path !== '') look('the stream opens through the ingress', (await carrier.upgrade(path)) === 101)
  const stranger = new Carrier({ port: carrier.port, baseUrl: BASE_URL, authToken: 'not-the-token' })
  look('a forged webhook is refused', (await stranger.post('/twilio/voice', fields)).status === 403)
  look('/metrics does not exist outside', (await carrier.post('/metrics', {})).status === 404)
  look('/drain does not exist outside', (await carrier.post('/drain', {})).status === 404)
}

async function lookAtLeaving(leaving: Pod, carrier: Carrier, staying: Pod): Promise<void> {
  const container = containerOf(leaving.name, 'edge')
  look('the pod has a preStop command', leaving.preStop !== undefined)
  const startedMs = performance.now()
  const preStop = podman(['exec', container, ...(leaving.preStop ?? [])], STOP_MAX_MS).catch(() => [])
  await delay(2_000)
  look('it takes calls while preStop waits', (await get(leaving.address, '/ready')).status === 200)
  await preStop
  look(
    'the preStop command waits its five seconds',
    performance.now() - startedMs > 4_000,
    Math.round(performance.now() - startedMs),
  )
  const stopping = podman(['stop', '-t', String(GRACE_SECONDS), container], STOP_MAX_MS * 2)
  await delay(1_000)
  const drained = await get(leaving.address, '/ready')
  look(
    'after SIGTERM it is not ready, or gone already',
    drained.status !== 200,
    `${drained.status} ${drained.text.slice(0, 80)}`,
  )
  await stopping
  const { State } = await inspect(container)
  const tookMs = Math.round(performance.now() - startedMs)
  look('it ends by itself with 0 within its grace', State.ExitCode === 0, `exit ${State.ExitCode} after ${tookMs} ms`)
  const answer = await carrier.post('/twilio/voice', {
    CallSid: `CA${'6'.repeat(32)}`,
    From: '+15005550001',
    To: '+15005550002',
  })
  const name = `edge-${staying.name.split('-').at(-1)}-${staying.address.replaceAll('.', '-')}`
  look('the next call goes to the pod that stays', answer.body.includes(name), answer.status)
}

readCommandLine(USAGE, {})
try {
  await main()
  say(failures === 0 ? 'all as it should be' : `${failures} looks failed`)
} catch (error) {
  failures += 1
  console.error(error instanceof Error ? error.message : String(error))
}
process.exitCode = failures === 0 ? 0 : 1
