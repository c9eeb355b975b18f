// The trial on a bare cluster, as processes of this machine: every container that values-try.yaml renders (stores, migration, pod, model,
// worker, ingress), then the command of `helm test`, which places a call and must hear it answered.
import assert from 'node:assert/strict'
import { chmodSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { runChild } from '../../tools/child.ts'
import { type Manifest, NAMESPACE, renderChart } from '../../tools/k8s/chart.ts'
import { type NameServer, startNameServer } from '../../tools/k8s/dns.ts'
import { hostsOf, makePodFolder, type PodPlace, resolveContainer, type Startable } from '../../tools/k8s/kubelet.ts'
import { findWorkloads, type Workload } from '../../tools/k8s/pods.ts'
import { fetchK8sTools } from '../../tools/k8s/programs.ts'
import { renderedSecrets, roleOf, runJob, startPod } from '../../tools/k8s/starts.ts'
import type { Launched } from '../../tools/launch.ts'
import { findFreePort } from '../../tools/ports.ts'

const CALL_MAX_MS = 100_000
/** What is started, in the order in which each finds what it needs. */
const ORDER = ['redis', 'postgres', 'edge', 'worker', 'ingress']

let manifests: Manifest[]
let workloads: Workload[]
let names: NameServer
const folder = makePodFolder(tmpdir())
const running: Launched[] = []
const byRole = (role: string): Workload => workloads.find((workload) => roleOf(workload) === role)!
const addressOf = (workload: Workload): string =>
  `127.8.1.${workloads.findIndex(({ name }) => name === workload.name) + 2}`

function placeOf(workload: Workload): PodPlace {
  return {
    name: `${workload.name}-7d9c6b5f48-x2x4z`,
    address: addressOf(workload),
    namespace: NAMESPACE,
    folder,
    manifests,
    secrets: renderedSecrets(manifests),
    hosts: hostsOf(manifests, addressOf),
    users: { postgres: 'postgres' },
  }
}

const resolve = (workload: Workload): Startable[] =>
  workload.pod.containers.map((container) => resolveContainer(workload.pod, container, placeOf(workload)))

before(async () => {
  const tools = await fetchK8sTools()
  if (tools.kind === 'failed') throw new Error(tools.message)
  chmodSync(folder, 0o755)
  names = await startNameServer([])
  const [http, metrics, model] = [await findFreePort(), await findFreePort(), await findFreePort()]
  const rendered = await renderChart(tools, {
    files: ['values-try.yaml'],
    isBare: true,
    // This machine's own: the ports that are taken on all its addresses, and the name server that stands in for the cluster's.
    sets: [
      `ingress.httpPort=${http},ingress.metricsPort=${metrics},ingress.nameserver=127.0.0.1:${names.port}`,
      `try.modelPort=${model},settings.OPENAI_REALTIME_URL=ws://127.0.0.1:${model}/v1/realtime`,
    ],
  })
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  manifests = rendered.manifests
  workloads = findWorkloads(manifests)
  names.addresses = [addressOf(byRole('edge'))]
})
after(async () => {
  await Promise.all(running.map((one) => one.stop({ signal: 'SIGKILL' })))
  await names?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function callIt(change: (args: string[]) => string[] = (args) => args): Promise<{ code: number; said: string }> {
  const [caller] = resolve(byRole('first-call'))
  const { end, lines } = await runChild(caller!.command, change(caller!.args), {
    env: caller!.env,
    maxMs: CALL_MAX_MS,
    output: 'keep',
  })
  return { code: end.kind === 'exited' ? end.code : -1, said: lines.join('\n') }
}

describe('values-try.yaml', { concurrency: false }, () => {
  test('[O19] it needs nothing from elsewhere: every Secret and store that it names is in the release, and nothing waits for a load balancer', () => {
    assert.deepEqual(workloads.map(roleOf).sort(), ['edge', 'first-call', 'ingress', 'postgres', 'redis', 'worker'])
    const named = JSON.stringify(manifests).matchAll(
      /"(?:secretName|secretKeyRef":\{"name|secret":\{"name)":"([^"]+)"/g,
    )
    assert.deepEqual([...new Set([...named].map(([, name]) => name))], Object.keys(renderedSecrets(manifests)))
    const services = manifests
      .filter(({ kind }) => kind === 'Service')
      .map(({ spec }) => (spec as { type?: string }).type)
    assert.ok(services.every((type) => type === undefined || type === 'ClusterIP'))
  })

  test('[O19] every container starts as it is rendered, the database is migrated by the pods themselves', async () => {
    for (const role of ORDER) {
      const workload = byRole(role)
      for (const container of workload.pod.initContainers ?? []) {
        assert.equal(await runJob(resolveContainer(workload.pod, container, placeOf(workload))), undefined)
      }
      await startPod(workload, resolve(workload), placeOf(workload), running)
    }
    assert.equal(running.length, ORDER.length + 1)
  })

  test('[O19] helm test places a first call, and its caller hears the agent', async () => {
    const { code, said } = await callIt()
    assert.match(said, /The caller heard the agent for \d{4,} ms/, said)
    assert.equal(code, 0)
    assert.match(said, /stream-opened/)
    assert.doesNotMatch(said, /DROPPED|dropped +true/)
  })

  test('[O19] a call that nobody answers fails the test in words', async () => {
    const model = running.find(({ name }) => name.endsWith('/model'))!
    await model.stop({ signal: 'SIGKILL' })
    const { code, said } = await callIt((args) =>
      args.map((arg) => arg.replace('--tries=6', '--tries=1').replace('--max-s=60', '--max-s=15')),
    )
    assert.notEqual(code, 0)
    assert.match(said, /The call failed: (the caller heard|no media stream|it ended|the plane dropped)/)
  })
})
