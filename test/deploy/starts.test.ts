// What the chart renders, given to its program: first each container's environment to the plane's own reader, then each pod as a
// process of this machine, before a real Redis and a real PostgreSQL.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Manifest, NAMESPACE, renderChart } from '../../tools/k8s/chart.ts'
import { resolveContainer, type Startable } from '../../tools/k8s/kubelet.ts'
import type { Workload } from '../../tools/k8s/pods.ts'
import {
  configProblems,
  ownWorkloads,
  placeOf,
  ROLES,
  renderedSecrets,
  roleOf,
  secretsFor,
  startVariants,
} from '../../tools/k8s/starts.ts'
import { VARIANTS } from '../../tools/k8s/variants.ts'
import { type ChartGround, openChartGround } from './chart-ground.ts'

let ground: ChartGround
before(async () => {
  ground = await openChartGround('starts')
})
after(() => ground?.close())

const SECRETS = secretsFor({ redis: 'redis://127.0.0.1:6379', database: 'postgres://a@127.0.0.1/b' })

async function render(title: string): Promise<Manifest[]> {
  const variant = VARIANTS.find((one) => one.title === title)!
  const rendered = await renderChart(ground.tools, variant.options)
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  return rendered.manifests
}

function resolveAll(title: string, manifests: readonly Manifest[]): { workload: Workload; startable: Startable }[] {
  return ownWorkloads(manifests).flatMap((workload, at) => {
    const place = placeOf(
      workload,
      { index: 0, at },
      {
        namespace: NAMESPACE,
        folder: join(ground.folder, title),
        manifests,
        secrets: { ...SECRETS, ...renderedSecrets(manifests) },
      },
    )
    // Those that run the plane: a trial's pod has a simulated model beside it.
    const ofPlane = workload.pod.containers.filter(({ name }) => ROLES.includes(name))
    return ofPlane.map((container) => ({
      workload,
      startable: resolveContainer(workload.pod, container, place),
    }))
  })
}

/** The start line of the edge makes its name itself, before Node runs. */
const withName = ({ workload, startable }: { workload: Workload; startable: Startable }): Startable =>
  roleOf(workload) === 'edge'
    ? { ...startable, asRendered: { ...startable.asRendered, POD_NAME: 'edge-x2x4z-127-7-1-2' } }
    : startable

describe('the configuration of every container of every rendering is read by the plane without a problem', () => {
  for (const { title } of VARIANTS) {
    test(`[O1] ${title}`, async () => {
      const all = resolveAll(title, await render(title))
      assert.ok(all.length >= 1)
      assert.deepEqual(
        all.flatMap((one) => configProblems(one.workload, withName(one))),
        [],
      )
    })
  }

  test('[O1] a pod without a name, a Secret without its key and a probe of no port are found', async () => {
    const manifests = await render('defaults')
    const worker = resolveAll('broken', manifests).find(({ workload }) => roleOf(workload) === 'worker')!
    const edge = resolveAll('broken', manifests).find(({ workload }) => roleOf(workload) === 'edge')!
    const { POD_NAME: _, ...nameless } = edge.startable.asRendered
    const [problem = ''] = configProblems(edge.workload, { ...edge.startable, asRendered: nameless })
    assert.match(problem, /vp-voiceplane-edge: POD_NAME is not set while REDIS_URL is/)
    const { OPENAI_API_KEY: __, ...keyless } = SECRETS.voiceplane!
    const place = {
      namespace: NAMESPACE,
      folder: join(ground.folder, 'keyless'),
      manifests,
      secrets: { voiceplane: keyless },
    }
    assert.throws(
      () =>
        resolveContainer(
          worker.workload.pod,
          worker.workload.pod.containers[0]!,
          placeOf(worker.workload, { index: 0, at: 0 }, place),
        ),
      /there is no key OPENAI_API_KEY in a Secret voiceplane/,
    )
  })
})

test('[DEPLOY-8][O1] every pod of every rendering starts as it is rendered and becomes ready by its own probes', async (t) => {
  const started = await startVariants(ground.tools)
  const summary = Object.fromEntries(started.map(({ variant, roles }) => [variant, roles.sort()]))
  t.diagnostic(
    JSON.stringify({ variants: started.length, roles: started.flatMap(({ roles }) => roles).length, summary }),
  )
  assert.deepEqual(
    started.flatMap(({ problems }) => problems),
    [],
  )
  const whole = ['edge', 'migrate', 'worker']
  assert.deepEqual(
    summary,
    Object.fromEntries(
      VARIANTS.filter(({ bringsStores }) => bringsStores !== true).map(({ title }) => [
        title,
        title === 'least' ? ['edge'] : whole,
      ]),
    ),
  )
  for (const { variant, metrics } of started) assert.match(metrics, /^# TYPE voice_demand_calls gauge$/m, variant)
})
