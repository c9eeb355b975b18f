// Whether the rendered objects fit one another: what one names, another has. Rules:
// KL1: a selector (Service, budget, policy, monitor) chooses pods of exactly one workload.
// KL2: a port that is named exists on a container of the pods chosen.
// KL3: a mount has its volume, a ConfigMap that is mounted is rendered, a scaled workload exists.
// KL4: each Deployment that takes calls (edge, ingress) has a budget; each workload's name and labels fit in 63 characters.
import type { Manifest } from './chart.ts'
import { containersOf, findWorkloads, isSelected, type Workload } from './pods.ts'

type Labels = Record<string, string>
type Port = { port?: number | string; targetPort?: number | string }
type Spec = {
  selector?: Labels & { matchLabels?: Labels }
  podSelector?: { matchLabels?: Labels }
  ports?: Port[]
  ingress?: { ports?: Port[]; from?: { podSelector?: { matchLabels?: Labels }; namespaceSelector?: unknown }[] }[]
  endpoints?: { port?: string }[]
  scaleTargetRef?: { kind?: string; name?: string }
}

/** The breaches of KL1 to KL4, one text each. */
export function findLooseEnds(manifests: readonly Manifest[]): string[] {
  const workloads = findWorkloads(manifests)
  return [
    ...manifests.flatMap((manifest) => checkChosen(manifest, manifests, workloads)),
    ...workloads.flatMap((workload) => checkVolumes(workload, manifests)),
    ...workloads.flatMap((workload) => checkBudget(workload, manifests)),
    ...manifests.flatMap(checkNames),
  ]
}

const titleOf = (manifest: Manifest): string => `${manifest.kind} ${manifest.metadata.name}`

function checkChosen(manifest: Manifest, manifests: readonly Manifest[], workloads: readonly Workload[]): string[] {
  const spec = (manifest.spec ?? {}) as Spec
  const title = titleOf(manifest)
  const chosen = (selector: Labels | undefined) => workloads.filter(({ labels }) => isSelected(labels, selector))
  const one = (selector: Labels | undefined, ports: (number | string | undefined)[] = []): string[] => {
    const found = chosen(selector)
    if (found.length !== 1) return [`${title}: its selector chooses ${found.length} workloads, not one`]
    const known = containersOf(found[0]!.pod).flatMap(({ ports: own = [] }) => own.map(({ name }) => name))
    return ports.flatMap((port) =>
      typeof port === 'string' && !known.includes(port) ? [`${title}: no port ${port}`] : [],
    )
  }
  switch (manifest.kind) {
    case 'Service':
      return one(
        spec.selector,
        spec.ports?.map(({ targetPort }) => targetPort),
      )
    case 'PodDisruptionBudget':
      return one(spec.selector?.matchLabels)
    case 'NetworkPolicy': {
      const rules = spec.ingress ?? []
      const own = one(
        spec.podSelector?.matchLabels,
        rules.flatMap(({ ports = [] }) => ports.map(({ port }) => port)),
      )
      // Pods of another namespace are not in this rendering.
      const peers = rules
        .flatMap(({ from = [] }) => from)
        .filter(({ podSelector, namespaceSelector }) => podSelector !== undefined && namespaceSelector === undefined)
      return [...own, ...peers.flatMap(({ podSelector }) => one(podSelector?.matchLabels))]
    }
    case 'ServiceMonitor': {
      const services = manifests.filter(
        (other) => other.kind === 'Service' && isSelected(labelsOf(other), spec.selector?.matchLabels),
      )
      const names = services.flatMap((service) => ((service.spec as Spec).ports ?? []) as { name?: string }[])
      const wanted = (spec.endpoints ?? []).filter(({ port }) => !names.some(({ name }) => name === port))
      if (services.length === 0) return [`${title}: its selector chooses no Service`]
      return wanted.map(({ port }) => `${title}: no port ${port}`)
    }
    case 'HorizontalPodAutoscaler':
    case 'ScaledObject': {
      const { kind, name } = spec.scaleTargetRef ?? {}
      const exists = workloads.some((workload) => workload.kind === kind && workload.name === name)
      return exists ? [] : [`${title}: there is no ${kind} ${name} to scale`]
    }
    default:
      return []
  }
}

const labelsOf = (manifest: Manifest): Labels => (manifest.metadata as { labels?: Labels }).labels ?? {}

function checkVolumes({ title, pod }: Workload, manifests: readonly Manifest[]): string[] {
  const volumes = pod.volumes ?? []
  const mounts = containersOf(pod).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name))
  const maps = manifests.filter(({ kind }) => kind === 'ConfigMap').map(({ metadata }) => metadata.name)
  return [
    ...mounts
      .filter((name) => !volumes.some((volume) => volume.name === name))
      .map((name) => `mounts no volume ${name}`),
    ...volumes.filter(({ name }) => !mounts.includes(name)).map(({ name }) => `volume ${name} is mounted nowhere`),
    ...volumes
      .filter(({ configMap }) => configMap !== undefined && !maps.includes(configMap.name))
      .map(({ configMap }) => `there is no ConfigMap ${configMap?.name}`),
  ].map((text) => `${title}: ${text}`)
}

function checkBudget(workload: Workload, manifests: readonly Manifest[]): string[] {
  if (!['edge', 'ingress'].includes(workload.labels['app.kubernetes.io/component'] ?? '')) return []
  const budgets = manifests.filter(
    ({ kind, spec }) =>
      kind === 'PodDisruptionBudget' && isSelected(workload.labels, (spec as Spec).selector?.matchLabels),
  )
  return budgets.length === 1 ? [] : [`${workload.title}: has ${budgets.length} disruption budgets`]
}

function checkNames(manifest: Manifest): string[] {
  const long = [manifest.metadata.name, ...Object.values(labelsOf(manifest))].filter((text) => text.length > 63)
  return long.map((text) => `${titleOf(manifest)}: ${text} is longer than 63 characters`)
}
