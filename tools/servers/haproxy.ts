// A real HAProxy in front of pods, for tests, chaos and fleets. Rules:
// VH1: the configuration is the one of tools/fleet/haproxy-config.ts, and is checked before it is used.
// VH2: pods come and go at run time through the admin socket, in the one process there is. A process that a reload leaves behind
//      no longer checks its pods, so the callers of a pod that hangs would stay in silence.
// VH3: it listens on 127.0.0.1 only.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkPod, type HaproxyPod, haproxyConfig, SERVER_OPTIONS, type SourceLimits } from '../fleet/haproxy-config.ts'
import { launch } from '../launch.ts'
import { pickPort } from '../ports.ts'

const COMMAND_MAX_MS = 2_000
const PLACES = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy', '/opt/homebrew/bin/haproxy', '/usr/local/bin/haproxy']

type HaproxyOptions = {
  pods: readonly HaproxyPod[]
  /** A free one unless given. */
  port?: number
  maxConn?: number
  /** Limits for one address of the outside; none unless given. */
  perSource?: SourceLimits
  /** Where its output goes; in its own folder, which `stop` removes, unless given. */
  logFile?: string
}

/** A server's state as HAProxy sees it: `UP`, `NOLB` (drains), `DOWN`, `MAINT`, with a number of checks while it changes. */
type ServerState = { pod: string; state: string; sessions: number }

export type Haproxy = {
  readonly port: number
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly pid: number
  /** Sends a signal and does not wait. */
  kill(signal: NodeJS.Signals): void
  /** Resolves when the process has gone. */
  readonly exited: Promise<unknown>
  /** [VH2] From now on these are the pods. Live sockets of pods that stay are kept; those of a pod left out are cut. */
  reload(pods: readonly HaproxyPod[]): Promise<void>
  /** What it thinks of each pod. */
  states(): Promise<ServerState[]>
  /** One command of the admin socket and its answer. */
  command(line: string): Promise<string>
  /** Starts it again on the same port after it was killed, with the pods of now. */
  start(): Promise<void>
  /** Ends it and removes its folder; harmless when repeated. */
  stop(): Promise<void>
}

/** Starts HAProxy and waits until it answers: about 50 ms. */
export async function startHaproxy(options: HaproxyOptions): Promise<Haproxy> {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-haproxy-'))
  chmodSync(folder, 0o700)
  const socket = join(folder, 'admin.sock')
  const port = options.port ?? (await pickPort())
  let pods = [...options.pods]
  /** One change after the other. */
  let turn: Promise<unknown> = Promise.resolve()
  const start = () => run({ folder, socket, port, pods, options })
  let program = await start().catch(async (error: Error) => {
    await rm(folder, { recursive: true, force: true })
    throw error
  })
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    get pid() {
      return program.pid
    },
    kill: (signal) => program.kill(signal),
    get exited() {
      return program.exited
    },
    reload: (next) => {
      const wanted = [...next]
      const changed = turn.then(async () => {
        await change(socket, pods, wanted)
        pods = wanted
      })
      turn = changed.catch(() => {})
      return changed
    },
    states: async () => readStates(await ask(socket, 'show stat')),
    command: (line) => ask(socket, line),
    start: async () => {
      program = await start()
    },
    stop: async () => {
      await program.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Where HAProxy is on this machine; undefined when it is not. */
export function findHaproxy(): string | undefined {
  return PLACES.find((path) => existsSync(path))
}

/** HAProxy's own opinion of a configuration; throws with its words when it refuses it. */
export function checkHaproxyConfig(file: string): void {
  execFileSync(findHaproxy() ?? 'haproxy', ['-c', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] })
}

function run(parts: {
  folder: string
  socket: string
  port: number
  pods: readonly HaproxyPod[]
  options: HaproxyOptions
}) {
  const { folder, socket, port, pods, options } = parts
  const file = join(folder, 'haproxy.cfg')
  const { maxConn, perSource } = options
  writeFileSync(file, haproxyConfig({ pods, bind: `127.0.0.1:${port}`, statsSocket: socket, maxConn, perSource }))
  checkHaproxyConfig(file)
  return launch({
    name: 'haproxy',
    command: findHaproxy() ?? 'haproxy',
    args: ['-db', '-f', file],
    logFile: options.logFile ?? join(folder, 'haproxy.log'),
    isReady: async () => (await ask(socket, 'show info')).includes('Uptime_sec'),
  })
}

/** One command to the admin socket. Rejects when it cannot be reached or is silent for COMMAND_MAX_MS. */
function ask(socket: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const connection = connect(socket, () => connection.write(`${line}\n`))
    connection.setTimeout(COMMAND_MAX_MS, () => connection.destroy(new Error(`haproxy is silent at: ${line}`)))
    connection.setEncoding('utf8').on('data', (text: string) => {
      answer += text
    })
    connection.on('error', reject)
    connection.on('close', () => resolve(answer.trim()))
  })
}

async function change(socket: string, before: readonly HaproxyPod[], after: readonly HaproxyPod[]): Promise<void> {
  for (const pod of after) checkPod(pod)
  const isSame = (a: HaproxyPod, b: HaproxyPod) => a.name === b.name && a.host === b.host && a.port === b.port
  for (const pod of before) if (!after.some((other) => isSame(pod, other))) await remove(socket, pod)
  for (const pod of after) if (!before.some((other) => isSame(pod, other))) await add(socket, pod)
}

async function add(socket: string, { name, host, port }: HaproxyPod): Promise<void> {
  await order(socket, `add server pods/${name} ${host}:${port} ${SERVER_OPTIONS}`, /registered/)
  await order(socket, `enable health pods/${name}`)
  await order(socket, `set server pods/${name} state ready`)
}

/** Maintenance cuts what is live. */
async function remove(socket: string, { name }: HaproxyPod): Promise<void> {
  await order(socket, `set server pods/${name} state maint`)
  await order(socket, `shutdown sessions server pods/${name}`)
  await order(socket, `del server pods/${name}`, /deleted/, DELETE_TRIES)
}

/** A server is deleted when its last connection has gone, some ms after it was cut. */
const DELETE_TRIES = 40
const DELETE_RETRY_MS = 25

/** A command that must be answered by `expected` (nothing, unless given). */
async function order(socket: string, line: string, expected = /^$/, tries = 1): Promise<void> {
  let answer = ''
  for (let tried = 1; tried <= tries; tried++) {
    answer = await ask(socket, line)
    if (expected.test(answer)) return
    await new Promise((resolve) => setTimeout(resolve, DELETE_RETRY_MS))
  }
  throw new Error(`haproxy answers "${answer}" to: ${line}`)
}

function readStates(table: string): ServerState[] {
  const [head = '', ...rows] = table.split('\n')
  const columns = head.replace(/^# /, '').split(',')
  const at = (name: string) => columns.indexOf(name)
  return rows
    .map((row) => row.split(','))
    .filter((row) => row[0] === 'pods' && row[1] !== 'BACKEND')
    .map((row) => ({
      pod: row[1]!,
      state: row[at('status')] ?? '',
      sessions: Number(row[at('scur')]),
    }))
}
