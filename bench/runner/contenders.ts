// The bridges that are measured: the plane, and the peers beside it. Each is one process that takes calls on one port.
// All get the same model simulator and the same callers; none is tuned for the bench.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { packagesOf } from '../../tools/needs.ts'
import { findFreePort } from '../../tools/ports.ts'
import type { Bench } from './bench.ts'
import { type Child, type ChildCommand, startChild } from './child.ts'
import { buildFloor } from './floor.ts'
import { allocatorOfImage } from './image-allocator.ts'
import { BENCH_OPERATOR } from './metrics.ts'
import type { Model } from './model.ts'
import { needPackages, type PackageNeed } from './packages.ts'

const PLAIN_NAMES = ['voiceplane', 'voiceplane-pcm16', 'floor', 'bare', 'ws', 'sdk', 'fastapi'] as const
type PlainName = (typeof PLAIN_NAMES)[number]
export type ContenderName = PlainName | `${PlainName}-tls`
/** Each, and each with TLS between it and the model. */
export const CONTENDER_NAMES: readonly ContenderName[] = PLAIN_NAMES.flatMap((name) => [name, `${name}-tls` as const])

/** What each is, for the output. */
export function contenderText(name: ContenderName): string {
  const { plain, isTls } = readName(name)
  return isTls ? `${PLAIN_TEXT[plain]}; TLS to the model` : PLAIN_TEXT[plain]
}

function readName(name: ContenderName): { plain: PlainName; isTls: boolean } {
  const isTls = name.endsWith('-tls')
  return { plain: (isTls ? name.slice(0, -'-tls'.length) : name) as PlainName, isTls }
}

const PLAIN_TEXT: Record<PlainName, string> = {
  voiceplane: 'this plane, role edge, µ-law passthrough, agents in place',
  'voiceplane-pcm16': 'the same with 24 kHz PCM16 towards the model',
  floor: 'the floor: the same bridge in C with epoll and OpenSSL, the limit of the machine',
  bare: "hand-written framing on Node's sockets, payload copied, no agents and no features",
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
const PYTHON: PackageNeed = {
  what: 'the FastAPI bridge',
  packages: packagesOf('FastAPI bridge'),
  isMet: () => {
    const probe = spawnSync(SYSTEM_PYTHON, ['-c', 'import fastapi, uvicorn, websockets, multipart'], {
      stdio: 'ignore',
    })
    return probe.status === 0
  },
}

/** Settings of the plane that a bench may change. */
type PlaneOptions = {
  callsMax: number
  audio?: 'pcmu' | 'pcm16'
  coalesce?: 'off' | 'auto'
  podName?: string
  /** Further variables: stores. */
  env?: Record<string, string>
}

/** A started bridge with its base URL. */
export type Bridge = Child & { url: string }

/** Starts a contender against `model`, which needs a TLS front for one over TLS; it is ended with the bench. The plane joins frames as it does by default. */
export async function startContender(bench: Bench, name: ContenderName, model: Model, calls: number): Promise<Bridge> {
  return startNamed(bench, name, model, { callsMax: calls * 2 })
}

/** What the single-bridge benches measure: the plane, or with `--only` a peer, to try the bench or to see its figure. */
export function subjectOf(bench: Bench): ContenderName {
  return (bench.options.only?.[0] as ContenderName | undefined) ?? 'voiceplane'
}

/** Starts the subject of a single-bridge bench. */
export function startSubject(bench: Bench, model: Model, options: PlaneOptions): Promise<Bridge> {
  return startNamed(bench, subjectOf(bench), model, options)
}

/** Starts `name`; `options` are for the plane, the peers have none. */
async function startNamed(bench: Bench, name: ContenderName, model: Model, options: PlaneOptions): Promise<Bridge> {
  const { plain, isTls } = readName(name)
  const { url, env: trust } = isTls ? trustedFront(model) : { url: model.url, env: {} }
  const env = { PORT: '0', OPENAI_REALTIME_URL: url, OPENAI_API_KEY: 'sk-bench-0123456789', ...trust }
  switch (plain) {
    case 'voiceplane':
      return startPlane(bench, url, { ...options, env: { ...options.env, ...trust } })
    case 'voiceplane-pcm16':
      return startPlane(bench, url, { ...options, audio: 'pcm16', env: { ...options.env, ...trust } })
    case 'fastapi':
      await needPackages(bench, PYTHON)
      return startPeer(bench, { name, file: SYSTEM_PYTHON, args: [pathOf('../peers/fastapi_bridge.py')], env })
    case 'floor':
      return startPeer(bench, { name, file: await buildFloor(bench), args: [], env })
    default:
      return startPeer(bench, { name, file: process.execPath, args: [pathOf(PEER_FILES[plain])], env })
  }
}

function trustedFront({ tls }: Model): { url: string; env: Record<string, string> } {
  if (tls === undefined) throw new Error('the model simulator has no TLS front')
  return { url: tls.url, env: { NODE_EXTRA_CA_CERTS: tls.certificateFile, SSL_CERT_FILE: tls.certificateFile } }
}

/** Starts one edge process of the plane on a free port. */
export async function startPlane(bench: Bench, modelUrl: string, options: PlaneOptions): Promise<Bridge> {
  const entry = pathOf('../../src/main.ts')
  if (!existsSync(entry)) throw new Error('src/main.ts is not there: the plane cannot be measured')
  const port = await findFreePort()
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
      ADMIN_TOKEN: BENCH_OPERATOR,
      CALLS_MAX: String(options.callsMax),
      MODEL_AUDIO: options.audio ?? 'pcmu',
      APPEND_COALESCE: options.coalesce ?? 'auto',
      DEMO_CALL: 'off',
      LOG_LEVEL: 'warn',
      DATA_DIR: bench.folder,
      ...allocatorOfImage(),
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

function pathOf(relative: string): string {
  return new URL(relative, import.meta.url).pathname
}
