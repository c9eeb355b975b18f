// Where a siege takes place: one pod by itself, one pod behind a plain reverse proxy, and a fleet. Rules:
// GD1: the plain proxy limits and buffers nothing: what the pod is spared, it spares itself.
// GD2: the standard error of a pod by itself is a named pipe, so that it can be left unread (S6).
// GD3: the pods have the allocator of the image: how much memory comes back is measured as operators run them. With glibc's, 100 calls that nobody
//      attacks grow by 25 MB in 140 s; with the image's by 10 MB, and they give it back.
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from '../../bench/runner/child.ts'
import { allocatorOfImage } from '../../bench/runner/image-allocator.ts'
import { launch } from '../../tools/launch.ts'
import { pickPort } from '../../tools/ports.ts'
import { findHaproxy } from '../../tools/servers/haproxy.ts'
import { layGround, stepScript } from '../ground.ts'
import type { ChaosRun } from '../run.ts'
import { startSink } from '../sink.ts'
import type { WatchedPod } from './pod-watch.ts'

export const PLACES = ['direct', 'proxied', 'fleet'] as const
export type Place = (typeof PLACES)[number]

export type Ground = {
  place: Place
  /** Where the carrier finds the plane. */
  url: string
  pods: readonly WatchedPod[]
  /** Fills the pods' standard error, and from now on nobody reads it; undefined where it is a file. */
  stopReadingLog: (() => void) | undefined
  stop: () => Promise<void>
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const MODEL = fileURLToPath(new URL('../../sim/openai/main.ts', import.meta.url))
const AGENT = fileURLToPath(new URL('../agents/effects.ts', import.meta.url))
/** As the pods of an operator run: package.json, the image and the chart. */
const NODE_FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=25']
const DRAIN_LOG_MS = 200
/** Reads the pods' metrics. */
export const OPERATOR = 'siege-operator-0123456789abcdef'
/** Of one address: callers and strangers have different ones here. */
const PER_SOURCE = { connections: 1_500, errors: 1_000 }

/** Starts everything but the callers. */
export async function startGround(run: ChaosRun, place: Place, calls: number): Promise<Ground> {
  if (place === 'fleet') return startFleetGround(run, calls)
  const ends: (() => Promise<void>)[] = []
  const own = { isOver: run.isOver, atEnd: (end: () => Promise<void>) => void ends.push(end) }
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      for (const end of ends.splice(0).reverse()) await end().catch((error: Error) => run.note(error.message))
    })()
    return stopping
  }
  run.atEnd(stop)
  const scriptFile = join(run.folder, 'steps.json')
  writeFileSync(scriptFile, JSON.stringify(stepScript()))
  const modelArguments = ['--port', '0', '--script', scriptFile, '--witness', join(run.folder, `model-${place}.jsonl`)]
  const model = await startChild(
    { name: 'model simulator', file: process.execPath, args: [MODEL, ...modelArguments] },
    own,
  )
  const sink = await startSink({ logFile: join(run.folder, `sink-${place}.jsonl`) })
  ends.push(() => sink.close())
  const port = await pickPort()
  const podUrl = `http://127.0.0.1:${port}`
  const url = place === 'direct' ? podUrl : await startPlainProxy(run, own, port)
  const pipe = openPipe(join(run.folder, `stderr-${place}`))
  ends.push(async () => pipe.close())
  const env = {
    PORT: String(port),
    PUBLIC_BASE_URL: url,
    CALLS_MAX: String(calls * 2),
    TWILIO_AUTH_TOKEN: run.authToken,
    ADMIN_TOKEN: OPERATOR,
    OPENAI_REALTIME_URL: `ws://127.0.0.1:${model.port}/v1/realtime`,
    OPENAI_API_KEY: 'sk-chaos-0123456789',
    AGENT_MODULE: AGENT,
    SINK_URL: sink.url,
    LOG_PIPE: pipe.path,
    ...allocatorOfImage(),
  }
  const args = ['-c', 'exec "$0" "$@" 2>"$LOG_PIPE"', process.execPath, ...NODE_FLAGS, MAIN, 'edge']
  const pod = await startChild({ name: 'pod', file: '/bin/sh', args, env, readyUrl: `${podUrl}/ready` }, own)
  const pods = [{ name: 'pod-1', pid: pod.pid, url: podUrl }]
  return { place, url, pods, stopReadingLog: () => pipe.stopReading(), stop }
}

async function startFleetGround(run: ChaosRun, calls: number): Promise<Ground> {
  const { fleet } = await layGround(run, {
    pods: run.asked.pods ?? 2,
    ceiling: calls,
    slack: calls,
    env: { ADMIN_TOKEN: OPERATOR, ...allocatorOfImage() },
    perSource: PER_SOURCE,
  })
  const pods = fleet.pods.map(({ name, pid, url }) => ({ name, pid, url }))
  return { place: 'fleet', url: fleet.baseUrl, pods, stopReadingLog: undefined, stop: () => fleet.stop() }
}

/** [GD1] */
async function startPlainProxy(
  run: ChaosRun,
  own: { atEnd: (end: () => Promise<void>) => void },
  podPort: number,
): Promise<string> {
  const port = await pickPort()
  const file = join(run.folder, 'plain-proxy.cfg')
  writeFileSync(
    file,
    `global
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 2h
  option forwardfor
frontend outside
  bind 127.0.0.1:${port}
  default_backend pod
backend pod
  server pod 127.0.0.1:${podPort}
`,
  )
  const proxy = await launch({
    name: 'plain proxy',
    command: findHaproxy() ?? 'haproxy',
    args: ['-db', '-f', file],
    logFile: join(run.folder, 'plain-proxy.log'),
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/`)).status > 0,
  })
  own.atEnd(async () => void (await proxy.stop()))
  return `http://127.0.0.1:${port}`
}

/** [GD2] */
function openPipe(path: string): { path: string; stopReading: () => void; close: () => void } {
  const made = spawnSync('mkfifo', [path])
  if (made.status !== 0) throw new Error(`no named pipe: ${made.stderr.toString()}`)
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  const chunk = Buffer.alloc(65_536)
  const drain = (): void => untilAgain(() => readSync(reader, chunk))
  const timer = setInterval(drain, DRAIN_LOG_MS)
  return {
    path,
    stopReading: () => {
      clearInterval(timer)
      for (const bytes of [4_096, 1]) untilAgain(() => writeSync(writer, Buffer.alloc(bytes, 0x2e)))
    },
    close: () => {
      clearInterval(timer)
      closeSync(reader)
      closeSync(writer)
    },
  }
}

/** Repeats until the kernel says that it would have to wait. */
function untilAgain(act: () => number): void {
  try {
    while (act() > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
  }
}
