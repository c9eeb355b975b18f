// A rendered workload as podman 4.3 can play it. What is changed, and nothing else:
// PA1: the pod's own address, which podman cannot tell (`status.podIP`), is written in; podman gives the pod that address.
// PA2: projected Secrets and empty volumes become folders of this machine.
// PA3: probes, the lifecycle, spreading and the seccomp field are taken out; probes and lifecycle are carried out by the run itself.
//      So are the ports, which podman would open on this machine.
// PA4: a second container hands MODEL_PORT of the pod's own loopback on to the simulated model: without TLS the plane dials loopback only.
// What stays: image, command, arguments, environment, limits, user, read-only root, dropped capabilities, mounts.
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Manifest } from '../chart.ts'
import { type Container, findWorkloads, type PodSpec } from '../pods.ts'

const USER = 1_000

export type Adapted = { manifest: Manifest; preStop: readonly string[] | undefined }
type AdaptOptions = {
  name: string
  address: string
  /** Where its volumes are made. */
  folder: string
  /** The Secret's content, by variable. */
  secrets: Readonly<Record<string, string>>
  /** Where the simulated model is; none when it is not needed. */
  model?: { host: string; port: number }
}

/** The port of the pod's loopback behind which the simulated model is. */
export const MODEL_PORT = 9_100

type Volume = { name: string; projected?: unknown; emptyDir?: unknown; hostPath?: { path: string; type: string } }
type Env = { name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }

/** A copy of `manifest` (a Deployment or a Job) for `podman play kube`, as a bare Pod; its preStop command apart. */
export function adaptForPodman(manifest: Manifest, options: AdaptOptions): Adapted {
  const [workload] = findWorkloads([structuredClone(manifest)])
  if (workload === undefined) throw new Error(`${manifest.kind} makes no pod`)
  const { pod } = workload
  const preStop = pod.containers[0]?.lifecycle?.preStop?.exec?.command
  for (const container of pod.containers) {
    for (const key of ['livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle', 'ports']) {
      Reflect.deleteProperty(container, key)
    }
    for (const env of (container.env ?? []) as Env[]) {
      if (env.valueFrom?.fieldRef?.fieldPath !== 'status.podIP') continue
      Reflect.deleteProperty(env, 'valueFrom')
      env.value = options.address
    }
    for (const env of (container.env ?? []) as Env[]) {
      if (env.value !== undefined) env.value = env.value.replaceAll('$(POD_IP)', options.address)
    }
  }
  Reflect.deleteProperty(pod, 'topologySpreadConstraints')
  Reflect.deleteProperty(pod.securityContext ?? {}, 'seccompProfile')
  for (const volume of (pod.volumes ?? []) as Volume[]) makeFolder(volume, options)
  if (options.model !== undefined) pod.containers.push(modelRelay(pod.containers[0]!, options.model))
  return { manifest: podOf(pod, options.name), preStop }
}

function modelRelay(edge: Container, model: { host: string; port: number }): Container {
  const script = `require('node:net').createServer((outer) => {
    const inner = require('node:net').connect(${model.port}, '${model.host}')
    outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
    inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
    outer.pipe(inner).pipe(outer)
  }).listen(${MODEL_PORT}, '127.0.0.1')`
  const { image, resources, securityContext } = edge
  return { name: 'model', image, resources, securityContext, command: ['node', '-e', script] }
}

function makeFolder(volume: Volume, { folder, name, secrets }: AdaptOptions): void {
  const path = join(folder, name, volume.name)
  mkdirSync(path, { recursive: true })
  if (volume.projected !== undefined) {
    for (const [key, text] of Object.entries(secrets)) {
      writeFileSync(join(path, key), text, { mode: 0o440 })
      chownSync(join(path, key), USER, USER)
    }
  }
  chownSync(path, USER, USER)
  Reflect.deleteProperty(volume, 'projected')
  Reflect.deleteProperty(volume, 'emptyDir')
  volume.hostPath = { path, type: 'Directory' }
}

function podOf(pod: PodSpec, name: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } } as Manifest['metadata'],
    spec: pod,
  }
}
