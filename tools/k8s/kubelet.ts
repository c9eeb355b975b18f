// A rendered container as a process of this machine: what the kubelet and the image would make of it, and nothing else. Rules:
// KB1: the environment is the rendered one: values, fields of the pod, keys of Secrets, $(NAME) of what stands before. A Secret or a
//      key that does not exist is an error, as it is for the kubelet.
// KB2: a volume is a folder of its own for each pod; the mount paths in environment, command and arguments become these folders.
// KB3: entry point, environment and folder of our image come from deploy/Dockerfile; /app is the working tree, `node` is this Node.
//      Other images run what the container says.
// KB4: a pod has an address of its own: 0.0.0.0 becomes it. Ports stay those of the manifest.
// KB5: a Service with its port, like `vp-redis:6379`, becomes address and port of the pod behind it, in Secrets, environment and command.
// KB6: a container that refuses root runs as a user of this machine when we are root.
// What is not shown here: the user, the read-only root, the limits (tools/k8s/podman shows those).
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ROOT } from '../tree.ts'
import type { Manifest } from './chart.ts'
import {
  type Container,
  type Env,
  findWorkloads,
  type Item,
  isSelected,
  type PodSpec,
  type Probe,
  type Volume,
  type Workload,
} from './pods.ts'

/** The content of Secrets, by name and key. */
export type Secrets = Readonly<Record<string, Readonly<Record<string, string>>>>

/** A pod that is about to start. */
export type PodPlace = {
  name: string
  /** An address of 127.0.0.0/8 that no other pod has. */
  address: string
  namespace: string
  /** Its volumes are made below it. */
  folder: string
  manifests: readonly Manifest[]
  secrets: Secrets
  /** [KB5] By `service:port`. */
  hosts?: Readonly<Record<string, string>>
  /** [KB6] By the name of the container. */
  users?: Readonly<Record<string, string>>
}

/** What to start: one process. */
export type Startable = {
  name: string
  command: string
  args: string[]
  /** Its whole environment besides PATH. */
  env: Record<string, string>
  /** Its environment before the pod's address stood in for 0.0.0.0. */
  asRendered: Record<string, string>
}

/** Makes the volumes of `pod` and resolves its container `container`; throws with what the kubelet would wait for in vain. */
export function resolveContainer(pod: PodSpec, container: Container, place: PodPlace): Startable {
  const image = OFFICIAL.test(container.image) ? { entrypoint: [], cmd: [], env: {} } : readImage()
  const folders = mountFolders(pod, container, place)
  // In one pass: what was put in is not looked at again.
  const paths = new RegExp(`(?<![\\w./-])(${['/app', ...folders.keys()].join('|')})(?![\\w.-])`, 'g')
  const here = (text: string): string =>
    atHosts(
      text.replace(paths, (path) => folders.get(path) ?? ROOT),
      place,
    )
  fillVolumes(pod, container, place, here)
  const asRendered = { ...image.env, ...resolveEnv(container.env ?? [], place) }
  for (const [name, value] of Object.entries(asRendered)) asRendered[name] = here(value)
  const words = [
    ...(container.command ?? image.entrypoint),
    ...(container.args ?? (container.command ? [] : image.cmd)),
  ]
  const [command = '', ...args] = words.map((word) =>
    here(expand(word, asRendered)).replaceAll('0.0.0.0', place.address),
  )
  const env = Object.fromEntries(
    Object.entries(asRendered).map(([name, value]) => [name, value === '0.0.0.0' ? place.address : value]),
  )
  // Node's own folder first, so that `node` in a command is the Node of these tests and not another of the machine.
  env.PATH = [dirname(process.execPath), ...EXTRA_PATHS, process.env.PATH].join(':')
  const user = process.getuid?.() === 0 ? place.users?.[container.name] : undefined
  if (user !== undefined) {
    for (const folder of folders.values()) giveTo(user, folder)
    const asUser = ['--reuid', user, '--regid', user, '--init-groups', '--pdeathsig', 'KILL', '--', command, ...args]
    return { name: container.name, command: 'setpriv', args: asUser, env, asRendered }
  }
  return { name: container.name, command: command === 'node' ? process.execPath : command, args, env, asRendered }
}

/** Images that are not ours: what they are started with is the container's own command. */
const OFFICIAL = /\/library\/(haproxy|redis|postgres):/

/** Where the programs of an official image are on this machine, when they are in no usual place. */
const EXTRA_PATHS = ['/usr/lib/postgresql/15/bin']

function giveTo(user: string, folder: string): void {
  execFileSync('chown', ['-R', `${user}:`, folder])
}

/** [KB5] */
function atHosts(text: string, { hosts = {} }: PodPlace): string {
  let found = text
  for (const [service, place] of Object.entries(hosts)) found = found.replaceAll(service, place)
  return found
}

/** [KB5] The Services of a rendering, by the places of their pods. */
export function hostsOf(
  manifests: readonly Manifest[],
  addressOf: (workload: Workload) => string,
): Record<string, string> {
  type Service = { selector?: Record<string, string>; ports?: { port: number; targetPort: number | string }[] }
  const hosts: Record<string, string> = {}
  for (const { metadata, spec } of manifests.filter(({ kind }) => kind === 'Service')) {
    const { selector, ports = [] } = spec as Service
    const workload = findWorkloads(manifests).find(({ labels }) => isSelected(labels, selector))
    if (workload === undefined) continue
    for (const { port, targetPort } of ports) {
      const known = workload.pod.containers.flatMap((one) => one.ports ?? [])
      const named = known.find(({ name }) => name === targetPort)?.containerPort
      hosts[`${metadata.name}:${port}`] = `${addressOf(workload)}:${named ?? targetPort}`
    }
  }
  return hosts
}

/** Where a probe of `container` asks. */
export function probeUrl(container: Container, probe: Probe | undefined, address: string): string {
  const { path = '', port = '' }: { path?: string; port?: number | string } = probe?.httpGet ?? probe?.tcpSocket ?? {}
  const number = typeof port === 'number' ? port : container.ports?.find(({ name }) => name === port)?.containerPort
  if (number === undefined) throw new Error(`${container.name}: a probe asks port "${port}", which the container lacks`)
  return `http://${address}:${number}${path}`
}

/** [KB1] */
function resolveEnv(env: readonly Env[], place: PodPlace): Record<string, string> {
  const known: Record<string, string> = {}
  for (const { name, value, valueFrom } of env) {
    if (valueFrom?.secretKeyRef !== undefined) {
      known[name] = secretOf(place.secrets, valueFrom.secretKeyRef.name, valueFrom.secretKeyRef.key)
    } else if (valueFrom?.fieldRef !== undefined) known[name] = fieldOf(valueFrom.fieldRef.fieldPath, place)
    else if (valueFrom !== undefined) throw new Error(`${name}: nobody here resolves ${JSON.stringify(valueFrom)}`)
    else known[name] = expand(value ?? '', known)
  }
  return known
}

/** `$(NAME)` of what is known; what is not known stays as it is. */
const expand = (text: string, known: Readonly<Record<string, string>>): string =>
  text.replace(/\$\(([A-Za-z_][\w]*)\)/g, (whole, name: string) => known[name] ?? whole)

function fieldOf(path: string, place: PodPlace): string {
  switch (path) {
    case 'metadata.name':
      return place.name
    case 'metadata.namespace':
      return place.namespace
    case 'status.podIP':
      return place.address
    default:
      throw new Error(`nobody here knows the pod's field ${path}`)
  }
}

function secretOf(secrets: Secrets, name: string, key: string): string {
  const value = secrets[name]?.[key]
  if (value === undefined) throw new Error(`there is no key ${key} in a Secret ${name}`)
  return value
}

/** [KB2] Folders by mount path, the longest path first. */
function mountFolders(pod: PodSpec, container: Container, place: PodPlace): Map<string, string> {
  const mounts = (container.volumeMounts ?? []).map(({ name, mountPath }): [string, string] => {
    const volume = pod.volumes?.find((one) => one.name === name)
    if (volume === undefined) throw new Error(`${container.name}: there is no volume ${name}`)
    return [mountPath, join(place.folder, place.name, volume.name)]
  })
  return new Map(mounts.sort(([one], [other]) => other.length - one.length))
}

function fillVolumes(pod: PodSpec, container: Container, place: PodPlace, here: (text: string) => string): void {
  for (const volume of pod.volumes ?? []) {
    if (container.volumeMounts?.some(({ name }) => name === volume.name) !== true) continue
    const folder = join(place.folder, place.name, volume.name)
    mkdirSync(folder, { recursive: true })
    for (const { path, text } of filesOf(volume, place)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), here(text))
    }
  }
}

function filesOf(volume: Volume, { secrets, manifests }: PodPlace): { path: string; text: string }[] {
  const ofSecret = (name: string, items?: readonly Item[]) =>
    (items ?? Object.keys(secrets[name] ?? {}).map((key) => ({ key, path: key }))).map(({ key, path }) => ({
      path,
      text: secretOf(secrets, name, key),
    }))
  if (volume.projected !== undefined) {
    return volume.projected.sources.flatMap(({ secret }) => (secret ? ofSecret(secret.name, secret.items) : []))
  }
  if (volume.secret !== undefined) return ofSecret(volume.secret.secretName, volume.secret.items)
  if (volume.configMap !== undefined) {
    const { name } = volume.configMap
    const map = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name)
    if (map === undefined) throw new Error(`there is no ConfigMap ${name}`)
    return Object.entries(map.data as Record<string, string>).map(([path, text]) => ({ path, text }))
  }
  if (volume.emptyDir !== undefined) return []
  throw new Error(`nobody here makes a volume like ${JSON.stringify(volume)}`)
}

/** [KB3] */
function readImage(): { entrypoint: string[]; cmd: string[]; env: Record<string, string> } {
  const text = readFileSync(join(ROOT, 'deploy/Dockerfile'), 'utf8')
  const list = (word: string) => JSON.parse(new RegExp(`^${word} (\\[.*\\])$`, 'm').exec(text)?.[1] ?? '[]') as string[]
  const pairs = [...text.matchAll(/^ENV (.*)$/gm)].flatMap(([, line = '']) => line.split(' '))
  const env = Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))
  return { entrypoint: list('ENTRYPOINT'), cmd: list('CMD'), env }
}

/** A folder for pods' volumes. */
export function makePodFolder(under: string): string {
  const folder = mkdtempSync(join(under, 'voiceplane-run-'))
  chmodSync(folder, 0o755)
  return folder
}
