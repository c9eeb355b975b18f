// The chart through helm, the types of Kubernetes, our own rules and HAProxy; and for each rule a chart that breaks it, since a check
// that could not fail would hold nothing.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { FLUSH_MAX_MS, FORCE_WAIT_MS, HANDOVER_EVERY_MS, MARGIN_MS } from '../../src/control/pod-life.ts'
import { VARIABLES } from '../../src/variables.ts'
import { CHART, type Manifest, renderChart } from '../../tools/k8s/chart.ts'
import { checkIngress } from '../../tools/k8s/ingress.ts'
import { findLooseEnds } from '../../tools/k8s/links.ts'
import { checkVariant } from '../../tools/k8s/main.ts'
import { findWorkloads, type PodSpec } from '../../tools/k8s/pods.ts'
import { fetchK8sTools, type K8sTools } from '../../tools/k8s/programs.ts'
import { findBreaches } from '../../tools/k8s/rules.ts'
import { checkTyped } from '../../tools/k8s/typed.ts'
import { VARIANTS } from '../../tools/k8s/variants.ts'
import { ROOT } from '../../tools/tree.ts'

let tools: K8sTools
let full: Manifest[]
before(async () => {
  const fetched = await fetchK8sTools()
  if (fetched.kind === 'failed') throw new Error(fetched.message)
  tools = fetched
  const everything = VARIANTS.find(({ title }) => title === 'everything')!
  const rendered = await renderChart(tools, everything.options)
  if (rendered.kind === 'refused') throw new Error(rendered.reason)
  full = rendered.manifests
})

/** A copy of the whole rendering, changed. */
function changed(change: (manifests: Manifest[], edge: PodSpec) => void): Manifest[] {
  const copy = structuredClone(full)
  const edge = findWorkloads(copy).find(({ name }) => name === 'vp-voiceplane-edge')!
  change(copy, edge.pod)
  return copy
}

const find = (manifests: Manifest[], kind: string, name: string): Manifest => {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)
  assert.ok(found, `${kind} ${name}`)
  return found
}

/** Asserts that at least one finding matches. */
function bites(findings: readonly string[], wanted: RegExp): void {
  assert.ok(
    findings.some((finding) => wanted.test(finding)),
    `${wanted} is not among: ${findings.join(' | ')}`,
  )
}

describe('every variant is sound', () => {
  for (const variant of VARIANTS) {
    test(variant.title, async () => assert.deepEqual(await checkVariant(tools, variant), []))
  }

  test('all kinds of object were seen, so that nothing is sound by being absent', () => {
    const kinds = [...new Set(full.map(({ kind }) => kind))].sort()
    assert.deepEqual(kinds, [
      'ConfigMap',
      'Deployment',
      'HorizontalPodAutoscaler',
      'Job',
      'NetworkPolicy',
      'Pod',
      'PodDisruptionBudget',
      'Role',
      'RoleBinding',
      'Service',
      'ServiceAccount',
      'ServiceMonitor',
    ])
    assert.equal(findWorkloads(full).length, 5)
  })
})

describe('counter-proofs', () => {
  test('[KT1][KT2][KT3] a misspelt key, a wrong type, a kind without types', async () => {
    const findings = await checkTyped(
      tools,
      changed((manifests, edge) => {
        const [container] = edge.containers
        Object.assign(container!, { livenessProb: container!.livenessProbe })
        find(manifests, 'PodDisruptionBudget', 'vp-voiceplane-edge').spec = { maxUnavailabel: 1 }
        Object.assign(find(manifests, 'Deployment', 'vp-voiceplane-edge').spec as object, { minReadySeconds: 'soon' })
        Object.assign(find(manifests, 'Service', 'vp-voiceplane-pods'), { apiVersion: 'v7' })
      }),
    )
    bites(findings, /Deployment vp-voiceplane-edge: .*livenessProb/)
    bites(findings, /PodDisruptionBudget vp-voiceplane-edge: .*maxUnavailabel/)
    bites(findings, /minReadySeconds must be integer/)
    bites(findings, /Service vp-voiceplane-pods: no types for v7/)
  })

  const breaks: [string, (edge: PodSpec, manifests: Manifest[]) => void, RegExp][] = [
    ['[KR1] no limit', (edge) => delete edge.containers[0]!.resources!.limits!.memory, /no limits of memory/],
    ['[KR1] image', (edge) => Object.assign(edge.containers[0]!, { image: 'a/b' }), /image without a tag/],
    ['[KR1] latest', (edge) => Object.assign(edge.containers[0]!, { image: 'a/b:latest' }), /changes under its tag/],
    ['[KR2] root', (edge) => Object.assign(edge.securityContext!, { runAsUser: 0 }), /no user of its own/],
    ['[KR2] writes', (edge) => delete edge.containers[0]!.securityContext!.readOnlyRootFilesystem, /may write/],
    ['[KR2] capabilities', (edge) => delete edge.containers[0]!.securityContext!.capabilities, /keeps capabilities/],
    ['[KR2] seccomp', (edge) => delete edge.securityContext!.seccompProfile, /seccomp/],
    ['[KR3] probe', (edge) => delete edge.containers[0]!.readinessProbe, /lacks a readinessProbe/],
    ['[KR4] token', (edge) => delete edge.automountServiceAccountToken, /gets a token/],
    ['[KR5] spread', (edge) => delete edge.topologySpreadConstraints, /is not spread/],
    ['[KR6] unknown', (edge) => edge.containers[0]!.env!.push({ name: 'CALLS_MOX', value: '1' }), /does not know/],
    ['[KR6] plain', (edge) => edge.containers[0]!.env!.push({ name: 'REDIS_URL', value: 'x' }), /plain text/],
  ]
  for (const [title, change, wanted] of breaks) {
    test(title, () => bites(findBreaches(changed((manifests, edge) => void change(edge, manifests))), wanted))
  }

  const cuts: [string, (manifests: Manifest[], edge: PodSpec) => void, RegExp][] = [
    [
      '[KL1] selector',
      (manifests) =>
        Object.assign(find(manifests, 'Service', 'vp-voiceplane-pods').spec as object, { selector: { a: 'b' } }),
      /chooses 0 workloads/,
    ],
    ['[KL2] port', (_, edge) => Object.assign(edge.containers[0]!.ports![0]!, { name: 'web' }), /no port http/],
    ['[KL3] volume', (_, edge) => edge.volumes!.pop(), /mounts no volume/],
    [
      '[KL3] map',
      (manifests) =>
        manifests.splice(
          manifests.findIndex(({ kind }) => kind === 'ConfigMap'),
          1,
        ),
      /no ConfigMap/,
    ],
    [
      '[KL3] scaled',
      (manifests) => {
        find(manifests, 'HorizontalPodAutoscaler', 'vp-voiceplane-edge').spec = {
          scaleTargetRef: { kind: 'Deployment', name: 'edge' },
        }
      },
      /there is no Deployment edge/,
    ],
    [
      '[KL4] budget',
      (manifests) =>
        manifests.splice(
          manifests.findIndex(({ kind }) => kind === 'PodDisruptionBudget'),
          1,
        ),
      /0 disruption budgets/,
    ],
  ]
  for (const [title, change, wanted] of cuts) {
    test(title, () => bites(findLooseEnds(changed(change)), wanted))
  }

  test('[KI2] a directive that HAProxy does not know', async () => {
    const broken = changed((manifests) => {
      const map = find(manifests, 'ConfigMap', 'vp-voiceplane-ingress').data as Record<string, string>
      map['haproxy.cfg'] = map['haproxy.cfg']!.replace('balance hash', 'balanse hash')
    })
    bites(await checkIngress(broken), /unknown keyword 'balanse'/)
  })
})

describe('the chart refuses what cannot work, and says what to do', () => {
  const refusals: [string, RegExp][] = [
    ['publicBaseUrl=http://voice.example.com', /publicBaseUrl: set the https:\/\/ address/],
    ['publicBaseUrl=https://voice.example.com/x', /publicBaseUrl: set the https:\/\/ address/],
    ['edge.callsMax=2650', /takes 590 s and must be below graceSeconds - preStopSeconds - 5 \(590\)/],
    [
      'edge.preStopSeconds=120,edge.callsMax=2100',
      /takes 480 s and must be below graceSeconds - preStopSeconds - 5 \(475\)/,
    ],
    ['edge.graceSeconds=78', /takes 68 s and must be below/],
    ['edge.drainNaturalSeconds=570', /takes 608 s/],
    ['worker.graceSeconds=40', /worker.graceSeconds: must be more than WORK_DRAIN_MS \(30000 ms\)/],
    ['secrets.keys={REDIS_URL}', /TWILIO_AUTH_TOKEN is neither/],
    ['secrets.keys={TWILIO_AUTH_TOKEN,STREAM_TOKEN_SECRET,REDIS_URL,DATABASE_URL}', /OPENAI_API_KEY or AZURE/],
    [
      'settings.AZURE_OPENAI_ENDPOINT=https://a.openai.azure.com',
      /secrets.keys or secrets.from: AZURE_OPENAI_API_KEY is not set; the three .* stand together/,
    ],
    [
      'settings.CRM_WEBHOOK_URL=https://crm.example.com/hook',
      /secrets.keys or secrets.from: CRM_WEBHOOK_SECRET is not set while CRM_WEBHOOK_URL is/,
    ],
    ['autoscaling.kind=keda', /keda.prometheusUrl/],
    ['autoscaling.minReplicas=50', /minReplicas is more/],
    ['autoscaling.demandPerPod=40', /below edge.callsMax/],
    ['ceilingCalls=481', /more than all pods can hold/],
    ['ingress.podSlots=5', /podSlots is below/],
    ['edge.replica=3', /additional properties 'replica' not allowed/],
    ['edge.callsMax=many', /callsMax.*got string, want integer/],
    ['settings.VAD_SILENCE_MS=400', /got number, want string/],
    ['cell=Main', /cell/],
  ]
  for (const [set, wanted] of refusals) {
    test(set, async () => {
      const rendered = await renderChart(tools, { sets: [set] })
      assert.equal(rendered.kind, 'refused')
      if (rendered.kind === 'refused') assert.match(rendered.reason, wanted)
    })
  }
})

describe('chart, image and plane agree', () => {
  const dockerfile = readFileSync(join(ROOT, 'deploy/Dockerfile'), 'utf8')
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string
    scripts: Record<string, string>
  }

  test('the chart reckons with the plane’s own rate of handovers', () => {
    const checks = readFileSync(join(CHART, 'templates/_checks.tpl'), 'utf8')
    assert.equal(Number(/\$handoversPerSecond := (\d+)/.exec(checks)?.[1]), 1_000 / HANDOVER_EVERY_MS)
  })

  test('[P66] a pod that is told to leave has let its last call go before it is killed, and the page says when', async () => {
    const page = readFileSync(join(ROOT, 'docs/kubernetes.md'), 'utf8')
    const drains = page.split(/^## /m).find((chapter) => chapter.startsWith('How a deploy drains'))!
    for (const preStopSeconds of [5, 120]) {
      const rendered = await renderChart(tools, { sets: [`edge.preStopSeconds=${preStopSeconds}`] })
      assert.ok(rendered.kind === 'rendered')
      const { pod } = findWorkloads(rendered.manifests).find(({ name }) => name === 'vp-voiceplane-edge')!
      const [edge] = pod.containers
      // It waits and does nothing else: no drain begins before SIGTERM.
      assert.deepEqual(edge!.lifecycle!.preStop!.exec!.command, [
        'node',
        '-e',
        `setTimeout(() => {}, ${preStopSeconds}000)`,
      ])
      const deadlineMs = Number(edge!.env!.find(({ name }) => name === 'DRAIN_DEADLINE_MS')!.value)
      const graceMs = pod.terminationGracePeriodSeconds! * 1_000
      const forcedAtMs = preStopSeconds * 1_000 + deadlineMs - MARGIN_MS
      assert.ok(forcedAtMs + FORCE_WAIT_MS + FLUSH_MAX_MS <= graceMs)
      assert.ok(drains.includes(`At \`graceSeconds\` − ${(graceMs - forcedAtMs) / 1_000},`), drains)
    }
    assert.match(drains, /preStop command waits `preStopSeconds` \(5 s\), and the pod still takes calls/)
    assert.match(drains, /Then SIGTERM begins the drain/)
  })

  test('the image has the allocator that it preloads', () => {
    const library = /^ENV .*\bLD_PRELOAD=lib(\w+)\.so\.(\d+)/m.exec(dockerfile)
    assert.ok(library)
    assert.match(dockerfile, new RegExp(`^RUN apt-get .*\\blib${library[1]}${library[2]}\\b`, 'm'))
  })

  test('image and chart start Node as `npm run edge` does', () => {
    const flags = /^node (.*) src\/main\.ts edge$/.exec(manifest.scripts.edge!)?.[1]
    assert.ok(flags)
    const entry = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)![1]!) as string[]
    assert.deepEqual(entry, ['node', ...flags.split(' '), '/app/src/main.ts'])
    const [edge] = findWorkloads(full).find(({ name }) => name === 'vp-voiceplane-edge')!.pod.containers
    assert.ok(edge!.command!.at(-1)!.includes(`exec node ${flags} /app/src/main.ts`))
  })

  test('the chart reckons with the plane’s own time for a worker to end', () => {
    const checks = readFileSync(join(CHART, 'templates/_checks.tpl'), 'utf8')
    assert.equal(
      Number(/default "(\d+)" \(get \$v\.settings "WORK_DRAIN_MS"\)/.exec(checks)?.[1]),
      VARIABLES.WORK_DRAIN_MS.fallback,
    )
  })

  test('workers are measured like pods: each part has its own monitor and a Service that it chooses', () => {
    const monitors = full.filter(({ kind }) => kind === 'ServiceMonitor').map(({ metadata }) => metadata.name)
    assert.deepEqual(monitors.sort(), ['vp-voiceplane-edge', 'vp-voiceplane-worker'])
    find(full, 'Service', 'vp-voiceplane-worker')
  })

  test('chart and package have one version', () => {
    const chart = readFileSync(join(CHART, 'Chart.yaml'), 'utf8')
    assert.equal(/^version: (.*)$/m.exec(chart)?.[1], manifest.version)
    assert.equal(/^appVersion: (.*)$/m.exec(chart)?.[1], manifest.version)
  })

  test('a pod that drains stays in DNS: else the ingress would cut its calls', () => {
    const { spec } = find(full, 'Service', 'vp-voiceplane-pods') as unknown as { spec: Record<string, unknown> }
    assert.equal(spec.publishNotReadyAddresses, true)
    assert.equal(spec.clusterIP, 'None')
  })
})
