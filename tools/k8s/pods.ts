// The pods inside rendered objects, in the few shapes that the rules look at. Rules:
// KO1: a Deployment and a Job hold a pod, a Pod is one (a test of helm); an object of another kind holds none.
import type { Manifest } from './chart.ts'

export type Env = {
  name: string
  value?: string
  valueFrom?: {
    fieldRef?: { fieldPath: string }
    secretKeyRef?: { name: string; key: string }
  }
}
export type Probe = {
  httpGet?: { path: string; port: number | string }
  tcpSocket?: { port: number | string }
  exec?: { command: string[] }
}
type Security = {
  runAsNonRoot?: boolean
  runAsUser?: number
  readOnlyRootFilesystem?: boolean
  allowPrivilegeEscalation?: boolean
  privileged?: boolean
  capabilities?: { drop?: string[]; add?: string[] }
  seccompProfile?: { type?: string }
}
export type Container = {
  name: string
  image: string
  command?: string[]
  args?: string[]
  env?: Env[]
  ports?: { name: string; containerPort: number }[]
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> }
  securityContext?: Security
  startupProbe?: Probe
  livenessProbe?: Probe
  readinessProbe?: Probe
  lifecycle?: { preStop?: { exec?: { command?: string[] } } }
  volumeMounts?: { name: string; mountPath: string }[]
}
/** A file of a Secret: its key, and where it lies in the volume. */
export type Item = { key: string; path: string }
export type Volume = {
  name: string
  configMap?: { name: string; items?: Item[] }
  secret?: { secretName: string; items?: Item[] }
  projected?: { sources: { secret?: { name: string; items?: Item[] } }[] }
  emptyDir?: object
}
export type PodSpec = {
  containers: Container[]
  initContainers?: Container[]
  volumes?: Volume[]
  securityContext?: Security
  automountServiceAccountToken?: boolean
  hostNetwork?: boolean
  terminationGracePeriodSeconds?: number
  topologySpreadConstraints?: unknown[]
}
type Labels = Record<string, string>

/** An object that makes pods. */
export type Workload = {
  title: string
  manifest: Manifest
  kind: string
  name: string
  labels: Labels
  pod: PodSpec
}

type Spec = { template: { metadata?: { labels?: Labels }; spec: PodSpec } }

/** All workloads among `manifests`. */
export function findWorkloads(manifests: readonly Manifest[]): Workload[] {
  return manifests
    .filter(({ kind }) => kind === 'Deployment' || kind === 'Job' || kind === 'Pod')
    .map((manifest) => {
      const { kind, metadata } = manifest
      const template = kind === 'Pod' ? (manifest as unknown as Spec['template']) : (manifest.spec as Spec).template
      const labels = template.metadata?.labels ?? {}
      return { title: `${kind} ${metadata.name}`, manifest, kind, name: metadata.name, labels, pod: template.spec }
    })
}

/** Every container of a pod. */
export function containersOf(pod: PodSpec): Container[] {
  return [...pod.containers, ...(pod.initContainers ?? [])]
}

/** Whether pods with `labels` are chosen by `selector`. */
export function isSelected(labels: Labels, selector: Labels | undefined): boolean {
  return selector !== undefined && Object.entries(selector).every(([key, value]) => labels[key] === value)
}
