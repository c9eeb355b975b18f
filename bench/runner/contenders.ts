// The bridges that are measured: the plane, and the peers beside it. Each is one process that takes calls on one port.
// All get the same model simulator and the same callers; none is tuned for the bench.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Bench } from './bench.ts'
import { type Child, type ChildCommand, startChild } from './child.ts'

export const CONTENDER_NAMES = ['voiceplane', 'voiceplane-pcm16', 'bare', 'ws', 'sdk', 'fastapi'] as const
export type ContenderName = (typeof CONTENDER_NAMES)[number]

/** What each is, for the output. */
export const CONTENDER_TEXT: Record<ContenderName, string> = {
  voiceplane: 'this plane, role edge, µ-law passthrough, agents in place',
  'voiceplane-pcm16': 'the same with 24 kHz PCM16 towards the model',
  bare: 'the floor: hand-written framing on sockets, payload copied, no agents and no features',
  ws: 'the same thin bridge on the ws library',
  sdk: '@openai/agents-extensions TwilioRealtimeTransportLayer, one agent with one tool',
  fastapi: 'FastAPI, uvicorn and websockets of Debian, JSON parsed for each message',
}

const PEER_FILES: Record<'bare' | 'ws' | 'sdk', string> = {
  bare: '../peers/bare-bridge.ts',
  ws: '../peers/ws-bridge.ts',
  sdk: '../peers/sdk-bridge.ts',
}
const SYSTEM_PYTHON = '/usr/bin/python3'
const PYTHON_PACKAGES = 'python3-fastapi python3-uvicorn python3-websockets python3-multipart'

/** Settings of the plane that a bench may change. */
export type PlaneOptions = {
  callsMax: number
  audio?: 'pcmu' | 'pcm16'
  coalesce?: 'off' | 'auto'
  podName?: string
  /** Further variables: stores. */
  env?: Record<string, string>
}

/** A started bridge with its base URL. */
export type Bridge = Child & { url: string }

/** Starts a contender against the model at `modelUrl` (ws://…/v1/realtime); it is ended with the bench. */
export async function startContender(
  bench: Bench,
  name: ContenderName,
  modelUrl: string,
  calls: number,
): Promise<Bridge> {
  switch (name) {
    case 'voiceplane':
      return startPlane(bench, modelUrl, { callsMax: calls * 2, coalesce: 'off' })
    case 'voiceplane-pcm16':
      return startPlane(bench, modelUrl, { callsMax: calls * 2, coalesce: 'off', audio: 'pcm16' })
    case 'fastapi':
      needPythonPackages(bench)
      return startPeer(bench, {
        name,
        file: SYSTEM_PYTHON,
        args: [pathOf('../peers/fastapi_bridge.py')],
        env: peerEnv(modelUrl),
      })
    default:
      return startPeer(bench, {
        name,
        file: process.execPath,
        args: [pathOf(PEER_FILES[name])],
        env: peerEnv(modelUrl),
      })
  }
}

/** What the single-bridge benches measure: the plane, or with `--only` a peer, to try the bench or to see the floor's figure. */
export function subjectOf(bench: Bench): ContenderName {
  return (bench.options.only?.[0] as ContenderName | undefined) ?? 'voiceplane'
}

/** Starts the subject of a single-bridge bench. */
export function startSubject(bench: Bench, modelUrl: string, options: PlaneOptions): Promise<Bridge> {
  const name = subjectOf(bench)
  if (name === 'voiceplane') return startPlane(bench, modelUrl, options)
  if (name === 'voiceplane-pcm16') return startPlane(bench, modelUrl, { ...options, audio: 'pcm16' })
  return startContender(bench, name, modelUrl, options.callsMax)
}

/** Starts one edge process of the plane on a free port. */
export async function startPlane(bench: Bench, modelUrl: string, options: PlaneOptions): Promise<Bridge> {
  const entry = pathOf('../../src/main.ts')
  if (!existsSync(entry)) throw new Error('src/main.ts is not there: the plane cannot be measured')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const command: ChildCommand = {
    name: options.podName ?? 'voiceplane',
    file: process.execPath,
    args: [...edgeFlags(), entry, 'edge'],
    readyUrl: `${url}/ready`,
    env: {
      PORT: String(port),
      OPENAI_REALTIME_URL: modelUrl,
      OPENAI_API_KEY: 'sk-bench-0123456789',
      TWILIO_AUTH_TOKEN: bench.authToken,
      CALLS_MAX: String(options.callsMax),
      MODEL_AUDIO: options.audio ?? 'pcmu',
      APPEND_COALESCE: options.coalesce ?? 'auto',
      DEMO_CALL: 'off',
      LOG_LEVEL: 'warn',
      DATA_DIR: bench.folder,
      ...(options.podName === undefined ? {} : { POD_NAME: options.podName }),
      ...options.env,
    },
  }
  return { ...(await startChild(command, bench)), url }
}

/** The flags of Node that `npm run edge` gives: what is measured is what operators run. */
function edgeFlags(): string[] {
  const manifest = JSON.parse(readFileSync(pathOf('../../package.json'), 'utf8')) as { scripts: { edge: string } }
  return manifest.scripts.edge.split(' ').filter((word) => word.startsWith('--'))
}

async function startPeer(bench: Bench, command: ChildCommand): Promise<Bridge> {
  const child = await startChild(command, bench)
  return { ...child, url: `http://127.0.0.1:${child.port}` }
}

function peerEnv(modelUrl: string): Record<string, string> {
  return { PORT: '0', OPENAI_REALTIME_URL: modelUrl, OPENAI_API_KEY: 'sk-bench-0123456789' }
}

function pathOf(relative: string): string {
  return new URL(relative, import.meta.url).pathname
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function hasPythonPackages(): boolean {
  const probe = spawnSync(SYSTEM_PYTHON, ['-c', 'import fastapi, uvicorn, websockets, multipart'], { stdio: 'ignore' })
  return probe.status === 0
}

/** Debian's packages, installed when this is root; otherwise an error that names the command. */
function needPythonPackages(bench: Bench): void {
  if (hasPythonPackages()) return
  const command = `apt-get install -y --no-install-recommends ${PYTHON_PACKAGES}`
  if (process.getuid?.() === 0) {
    bench.note(`installing ${PYTHON_PACKAGES}`)
    spawnSync('apt-get', ['update'], { stdio: 'ignore' })
    spawnSync('apt-get', command.split(' ').slice(1), {
      stdio: 'ignore',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  }
  if (!hasPythonPackages()) throw new Error(`the FastAPI bridge needs Debian's packages; run: ${command}`)
}
