// Scaling and the ways in, as values decide them: what could never scale or never be reached is refused, the notes and `helm test` say
// what a cluster lacks. The test's script speaks to a Kubernetes API made here, over TLS.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runChild } from '../../tools/child.ts'
import {
  type Manifest,
  NAMESPACE,
  parseManifests,
  type RenderOptions,
  renderChart,
  renderNotes,
} from '../../tools/k8s/chart.ts'
import { resolveContainer } from '../../tools/k8s/kubelet.ts'
import { findWorkloads } from '../../tools/k8s/pods.ts'
import { ROOT } from '../../tools/tree.ts'
import { type ChartGround, openChartGround } from './chart-ground.ts'

let ground: ChartGround
before(async () => {
  ground = await openChartGround('scaling')
})
after(() => ground?.close())

async function render(options: RenderOptions): Promise<Manifest[]> {
  const rendered = await renderChart(ground.tools, options)
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  return rendered.manifests
}

const CLUSTER = 'apiregistration.k8s.io/v1'
const KEDA = ['autoscaling.kind=keda', 'autoscaling.keda.prometheusUrl=http://prometheus.monitoring:9090']

describe('what can never scale is refused with the fix', () => {
  const refusals: [string, RenderOptions, RegExp][] = [
    ['nobody may read the metrics', { sets: ['monitoring.namespace='] }, /never scale; set monitoring.namespace/],
    [
      'Prometheus is told of no pod',
      { sets: ['monitoring.annotations=false'] },
      /set monitoring.annotations or monitoring.serviceMonitor/,
    ],
    ['no room between the bounds', { sets: ['autoscaling.minReplicas=12'] }, /raise maxReplicas/],
    [
      'a target that no pod reaches',
      { sets: ['autoscaling.measure=active', 'edge.callsMax=25'] },
      /activePerPod must be below/,
    ],
    ['a cluster without KEDA', { sets: KEDA, apis: [CLUSTER] }, /this cluster has no KEDA .*set autoscaling.kind=hpa/],
    [
      'a cluster without the operator',
      { sets: ['monitoring.serviceMonitor=true'], apis: [CLUSTER] },
      /no Prometheus operator .*serviceMonitor=false/,
    ],
  ]
  for (const [title, options, wanted] of refusals) {
    test(`[O10] ${title}`, async () => {
      const rendered = await renderChart(ground.tools, options)
      assert.ok(rendered.kind === 'refused')
      assert.match(rendered.reason, wanted)
    })
  }

  test('[O10] each values file installs on a cluster without KEDA and without the operator', async () => {
    for (const size of ['small', 'medium', 'large']) {
      const kinds = (await render({ files: [`values-${size}.yaml`], apis: [CLUSTER] })).map(({ kind }) => kind)
      assert.ok(!kinds.includes('ScaledObject') && !kinds.includes('ServiceMonitor'), size)
      assert.ok(kinds.includes('HorizontalPodAutoscaler'))
    }
    const there = await render({
      sets: [...KEDA, 'monitoring.serviceMonitor=true'],
      apis: [CLUSTER, 'keda.sh/v1alpha1', 'monitoring.coreos.com/v1'],
    })
    assert.ok(there.some(({ kind }) => kind === 'ScaledObject'))
  })
})

describe('a Prometheus finds the pods', () => {
  type Annotated = { template: { metadata: { annotations?: Record<string, string> } } }
  const scrapes = (manifests: readonly Manifest[]) =>
    manifests
      .filter(({ kind }) => kind === 'Deployment')
      .map(({ spec }) => (spec as Annotated).template.metadata.annotations?.['prometheus.io/port'])

  test('[O10] each pod carries annotations with the port of its metrics, unless there is a monitor', async () => {
    const annotated = await render({})
    assert.deepEqual(scrapes(annotated).toSorted(), ['8080', '8404', '9464'])
    for (const { pod } of findWorkloads(annotated).filter(({ kind }) => kind === 'Deployment')) {
      const ports = pod.containers.flatMap((one) => (one.ports ?? []).map(({ containerPort }) => String(containerPort)))
      assert.ok(scrapes(annotated).some((port) => ports.includes(port!)))
    }
    assert.deepEqual(scrapes(await render({ sets: ['monitoring.serviceMonitor=true'] })), [
      undefined,
      undefined,
      undefined,
    ])
  })

  test('[O10] the rules for the adapter are shipped, and name what the autoscaler asks for', async () => {
    const text = readFileSync(join(ROOT, 'deploy/prometheus-adapter/values.yaml'), 'utf8')
    const [values] = (await parseManifests(ground.tools, text)) as unknown as [
      { rules: { custom: { seriesQuery: string }[] } },
    ]
    const series = new RegExp(`^(?:${/=~"([^"]+)"/.exec(values.rules.custom[0]!.seriesQuery)![1]})$`)
    for (const measure of ['demand', 'active']) {
      const scaler = (await render({ sets: [`autoscaling.measure=${measure}`] })).find(
        ({ kind }) => kind === 'HorizontalPodAutoscaler',
      )!
      const [{ pods }] = (scaler.spec as { metrics: [{ pods: { metric: { name: string } } }] }).metrics
      assert.match(pods.metric.name, series)
    }
  })

  test('[O10] KEDA asks by pod: a Prometheus that reads annotations knows no service', async () => {
    const scaled = (await render({ sets: KEDA })).find(({ kind }) => kind === 'ScaledObject')!
    assert.match(JSON.stringify(scaled.spec), /namespace=\\\\?"voice\\\\?",pod=~\\\\?"vp-voiceplane-edge-\.\*/)
  })

  test('[O10] the notes say what the cluster lacks and how to ask', async () => {
    const notes = await renderNotes(ground.tools)
    assert.match(
      notes,
      /WARNING: this cluster has no custom metrics \(custom.metrics.k8s.io\). The number of pods stays at 3/,
    )
    assert.match(notes, /deploy\/prometheus-adapter\/values.yaml/)
    assert.match(notes, /helm test vp -n voice/)
    assert.doesNotMatch(await renderNotes(ground.tools, { sets: ['autoscaling.enabled=false'] }), /WARNING|helm test/)
  })
})

describe('helm test says whether the autoscaler sees its metric', () => {
  /** What the API answers, by the beginning of the path: the longest counts. */
  let answers: Record<string, [number, unknown]> = {}
  const asked: { path: string; token: string | undefined }[] = []
  let api: Server
  before(async () => {
    const [key, certificate] = [join(ground.folder, 'api.key'), join(ground.folder, 'ca.crt')]
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=api']
    execFileSync('openssl', [...made, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate], {
      stdio: 'ignore',
    })
    writeFileSync(join(ground.folder, 'token'), 'the-token-of-the-account\n')
    api = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
      asked.push({ path: request.url!, token: request.headers.authorization })
      const [status, body] = Object.entries(answers)
        .filter(([path]) => request.url!.startsWith(path))
        .sort(([one], [other]) => other.length - one.length)[0]?.[1] ?? [404, {}]
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  })
  after(() => api?.close())

  async function runTest(sets: readonly string[], found: typeof answers): Promise<{ code: number; said: string }> {
    answers = found
    asked.length = 0
    const manifests = await render({ sets })
    const workload = findWorkloads(manifests).find(({ name }) => name === 'vp-voiceplane-scaling-test')!
    const place = {
      name: 'test',
      address: '127.7.9.9',
      namespace: NAMESPACE,
      folder: ground.folder,
      manifests,
      secrets: {},
    }
    const { command, args, env } = resolveContainer(workload.pod, workload.pod.containers[0]!, place)
    const port = String((api.address() as AddressInfo).port)
    const cluster = {
      ACCOUNT_FOLDER: ground.folder,
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: port,
      TRIES: '1',
    }
    const { end, lines } = await runChild(command, args, { env: { ...env, ...cluster }, maxMs: 60_000, output: 'keep' })
    return { code: end.kind === 'exited' ? end.code : -1, said: lines.join('\n') }
  }

  const BASE = '/apis/custom.metrics.k8s.io/v1beta1'
  const METRIC = `${BASE}/namespaces/voice/pods/*/voice_demand_calls`
  const KEDA_PATH = '/apis/keda.sh/v1alpha1/namespaces/voice/scaledobjects/vp-voiceplane-edge'
  const conditions = (ready: string, fallback: string) => ({
    status: {
      conditions: [
        { type: 'Ready', status: ready, message: 'triggers are broken' },
        { type: 'Fallback', status: fallback },
      ],
    },
  })

  const outcomes: [string, string[], typeof answers, number, RegExp][] = [
    ['no adapter', [], {}, 1, /will not change by itself. The cluster has no custom metrics .*prometheus-adapter/],
    ['an adapter that is down', [], { [BASE]: [503, {}] }, 1, /has no custom metrics/],
    ['an adapter without our rules', [], { [BASE]: [200, {}], [METRIC]: [404, {}] }, 1, /knows no voice_demand_calls/],
    [
      'no series yet',
      [],
      { [BASE]: [200, {}], [METRIC]: [200, { items: [] }] },
      1,
      /Does Prometheus read their \/metrics/,
    ],
    ['all there', [], { [BASE]: [200, {}], [METRIC]: [200, { items: [{}] }] }, 0, /The autoscaler sees its metric/],
    ['KEDA that never looked', KEDA, {}, 1, /There is no ScaledObject vp-voiceplane-edge/],
    [
      'KEDA that cannot scale',
      KEDA,
      { [KEDA_PATH]: [200, conditions('False', 'False')] },
      1,
      /KEDA cannot scale: triggers are broken/,
    ],
    [
      'KEDA without its Prometheus',
      KEDA,
      { [KEDA_PATH]: [200, conditions('True', 'True')] },
      1,
      /gets no answer from Prometheus/,
    ],
    ['KEDA that works', KEDA, { [KEDA_PATH]: [200, conditions('True', 'False')] }, 0, /sees its metric/],
  ]
  for (const [title, sets, found, code, wanted] of outcomes) {
    test(`[O10] ${title}`, async () => {
      const ran = await runTest(sets, found)
      assert.match(ran.said, wanted)
      assert.equal(ran.code, code)
      assert.ok(asked.length >= 1)
      assert.ok(asked.every(({ token }) => token === 'Bearer the-token-of-the-account'))
    })
  }

  test('[O10] an API that does not answer is said too', async () => {
    const manifests = await render({})
    const workload = findWorkloads(manifests).find(({ name }) => name === 'vp-voiceplane-scaling-test')!
    const place = {
      name: 'away',
      address: '127.7.9.9',
      namespace: NAMESPACE,
      folder: ground.folder,
      manifests,
      secrets: {},
    }
    const { command, args, env } = resolveContainer(workload.pod, workload.pod.containers[0]!, place)
    const cluster = {
      ACCOUNT_FOLDER: ground.folder,
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: '1',
      TRIES: '1',
    }
    const { end, lines } = await runChild(command, args, { env: { ...env, ...cluster }, maxMs: 60_000, output: 'keep' })
    assert.deepEqual(end, { kind: 'exited', code: 1 })
    assert.match(lines.join('\n'), /The Kubernetes API does not answer/)
  })
})

describe('an ingress of one’s own gets in', () => {
  type Peer = {
    podSelector?: { matchLabels?: Record<string, string> }
    namespaceSelector?: { matchLabels?: Record<string, string> }
  }
  type Policy = { ingress: { from: Peer[] }[] }

  test('[O11] its namespace and its pods are one peer of the edge pods’ policy', async () => {
    const sets = [
      'ingress.enabled=false',
      'networkPolicy.ownIngress.namespace=ingress-nginx',
      'networkPolicy.ownIngress.podLabels.app=nginx',
    ]
    const policy = (await render({ sets })).find(
      ({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'vp-voiceplane-edge',
    )!
    const { from } = (policy.spec as Policy).ingress[0]!
    const peers = from.filter(({ podSelector }) => podSelector?.matchLabels?.app === 'nginx')
    assert.deepEqual(peers, [
      {
        podSelector: { matchLabels: { app: 'nginx' } },
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress-nginx' } },
      },
    ])
    // The chart's own ingress is not there to be let in.
    assert.ok(!JSON.stringify(from).includes('"ingress"'))
  })

  test('[O11] labels alone mean this namespace, a namespace alone means all its pods', async () => {
    const peersOf = async (set: string) => {
      const policy = (await render({ sets: ['ingress.enabled=false', set] })).find(
        ({ metadata }) => metadata.name === 'vp-voiceplane-edge',
      )!
      assert.ok(policy)
      const all = (await render({ sets: ['ingress.enabled=false', set] })).filter(
        ({ kind }) => kind === 'NetworkPolicy',
      )
      return (all[0]!.spec as Policy).ingress[0]!.from.slice(1, 2)
    }
    assert.deepEqual(await peersOf('networkPolicy.ownIngress.podLabels.app=nginx'), [
      { podSelector: { matchLabels: { app: 'nginx' } } },
    ])
    assert.deepEqual(await peersOf('networkPolicy.ownIngress.namespace=web'), [
      { podSelector: {}, namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'web' } } },
    ])
  })

  test('[O11] no way in is refused, and so is a second one beside the chart’s ingress', async () => {
    const shut = await renderChart(ground.tools, { sets: ['ingress.enabled=false'] })
    assert.ok(shut.kind === 'refused')
    assert.match(shut.reason, /no call would get in; name the namespace and the pod labels of your own ingress/)
    const open = await renderChart(ground.tools, { sets: ['networkPolicy.ownIngress.namespace=web'] })
    assert.ok(open.kind === 'refused')
    assert.match(open.reason, /would reach \/internal and \/drain/)
  })
})
