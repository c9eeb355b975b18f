// What we ask of our own chart beyond what Kubernetes asks. Rules:
// KR1: every container has requests and limits of CPU and memory, and an image with a fixed tag.
// KR2: nothing runs as root, writes to its root file system, gains privileges or keeps a capability; seccomp is RuntimeDefault.
// KR3: what runs on has a liveness and a readiness probe; a Job, a test and what ends before a pod starts have neither.
// KR4: no pod but a test of helm gets a token for the Kubernetes API, and none uses the host's network.
// KR5: a Deployment gives up no pod before its successor is ready, and spreads over zones and machines. The stores of a trial do not:
//      two at one time would be two stores.
// KR6: an environment variable is one of the plane's (src/variables.ts), one of the chart's own two, a file of a Secret, or one that the
//      values name for an agent; a secret is never a plain text. A test of helm and
//      a store of a trial run no role and have their own.
import { VARIABLES } from '../../src/variables.ts'
import type { Manifest } from './chart.ts'
import { type Container, containersOf, findWorkloads, type Workload } from './pods.ts'

/** Read by the start line of the edge's container, not by the plane. */
const OWN_VARIABLES = ['KUBE_POD_NAME', 'POD_IP']

const TRIAL_STORES = ['redis', 'postgres']
const SECRETS_FOLDER = '/run/secrets/voiceplane/'

type Rule = (workload: Workload) => string[]

/** The breaches of KR1 to KR6, one text each. `forAgent`: the variables that the values name for an agent. */
export function findBreaches(manifests: readonly Manifest[], forAgent: readonly string[] = []): string[] {
  const rules: Rule[] = [limits, security, probes, cluster, rollout, environment(forAgent)]
  return findWorkloads(manifests).flatMap((workload) =>
    rules.flatMap((rule) => rule(workload).map((text) => `${workload.title}: ${text}`)),
  )
}

const eachContainer = (workload: Workload, find: (container: Container) => (string | false)[]): string[] =>
  containersOf(workload.pod).flatMap((container) =>
    find(container)
      .filter((text) => text !== false)
      .map((text) => `${container.name} ${text}`),
  )

const limits: Rule = (workload) =>
  eachContainer(workload, ({ resources, image }) => [
    ...(['requests', 'limits'] as const).flatMap((kind) =>
      ['cpu', 'memory'].map((what) => resources?.[kind]?.[what] === undefined && `has no ${kind} of ${what}`),
    ),
    !/:[\w][\w.-]*$/.test(image) && 'has an image without a tag',
    image.endsWith(':latest') && 'has an image that changes under its tag',
  ])

const security: Rule = (workload) => {
  const { securityContext: pod } = workload.pod
  const found = eachContainer(workload, ({ securityContext: own }) => [
    (own?.runAsNonRoot ?? pod?.runAsNonRoot) !== true && 'may run as root',
    (own?.runAsUser ?? pod?.runAsUser ?? 0) === 0 && 'has no user of its own',
    own?.readOnlyRootFilesystem !== true && 'may write to its root file system',
    own?.allowPrivilegeEscalation !== false && 'may gain privileges',
    own?.privileged === true && 'is privileged',
    own?.capabilities?.drop?.includes('ALL') !== true && 'keeps capabilities',
    (own?.capabilities?.add ?? []).length > 0 && 'adds capabilities',
  ])
  return pod?.seccompProfile?.type === 'RuntimeDefault' ? found : [...found, 'seccomp is not RuntimeDefault']
}

const probes: Rule = (workload) =>
  eachContainer(workload, (container) =>
    (['livenessProbe', 'readinessProbe'] as const).map((probe) => {
      const isWanted = workload.kind === 'Deployment' && workload.pod.containers.includes(container)
      return (container[probe] !== undefined) !== isWanted && `${isWanted ? 'lacks' : 'has'} a ${probe}`
    }),
  )

const cluster: Rule = ({ pod, kind }) =>
  [
    pod.automountServiceAccountToken !== false && kind !== 'Pod' && 'gets a token for the Kubernetes API',
    pod.hostNetwork === true && "uses the host's network",
  ].filter((text) => text !== false)

type Strategy = { rollingUpdate?: { maxUnavailable?: unknown; maxSurge?: unknown } }

const rollout: Rule = ({ kind, manifest, pod, labels }) => {
  if (kind !== 'Deployment' || TRIAL_STORES.includes(labels['app.kubernetes.io/component'] ?? '')) return []
  const { strategy } = manifest.spec as { strategy?: Strategy }
  const { maxUnavailable, maxSurge } = strategy?.rollingUpdate ?? {}
  return [
    maxUnavailable !== 0 && 'gives up a pod before its successor is ready',
    (maxSurge === undefined || maxSurge === 0) && 'has no room for a successor',
    (pod.topologySpreadConstraints ?? []).length < 2 && 'is not spread over zones and machines',
  ].filter((text) => text !== false)
}

const environment =
  (forAgent: readonly string[]): Rule =>
  (workload) =>
    eachContainer(workload, ({ env = [] }) =>
      env.flatMap(({ name, value }) => {
        const variable = VARIABLES[name as keyof typeof VARIABLES] as { secret: boolean } | undefined
        const isOfSecret = name.endsWith('_FILE') && value?.startsWith(SECRETS_FOLDER) === true
        const isKnown =
          workload.kind === 'Pod' ||
          TRIAL_STORES.includes(workload.labels['app.kubernetes.io/component'] ?? '') ||
          variable !== undefined ||
          isOfSecret ||
          [...OWN_VARIABLES, ...forAgent].includes(name)
        return [
          !isKnown && `has ${name}, which the plane does not know`,
          variable?.secret === true && value !== undefined && `has the secret ${name} as plain text`,
          env.filter((other) => other.name === name).length > 1 && `has ${name} twice`,
        ]
      }),
    )
