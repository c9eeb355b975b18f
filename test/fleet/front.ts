import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { until } from '../../src/kit/testing/patience.ts'
import type { HaproxyPod, SourceLimits } from '../../tools/fleet/haproxy-config.ts'
import { type Launched, launch } from '../../tools/launch.ts'
import { pickPort } from '../../tools/ports.ts'
import { type Haproxy, startHaproxy } from '../../tools/servers/haproxy.ts'

const TINY_POD = new URL('./tiny-pod.ts', import.meta.url).pathname

type TinyPod = HaproxyPod & { program: Launched; url: string }

/** What a tiny pod says of a request it got. */
type Answer = { status: number; pod: string; url: string; headers: Record<string, string> }

export type FrontOptions = { maxConn?: number; perSource?: SourceLimits }

/** Tiny pods and the HAProxy before them; `pods` by name. */
export class Front {
  readonly haproxy: Haproxy
  readonly pods = new Map<string, TinyPod>()
  readonly #folder: string

  private constructor(haproxy: Haproxy, folder: string) {
    this.haproxy = haproxy
    this.#folder = folder
  }

  /** Starts the pods named, then HAProxy, and waits until it has seen that all are up. */
  static open(...names: string[]): Promise<Front> {
    return Front.with({}, ...names)
  }

  static async with(options: FrontOptions, ...names: string[]): Promise<Front> {
    const folder = await mkdtemp(join(tmpdir(), 'voiceplane-front-'))
    const pods = await Promise.all(names.map((name) => startTinyPod(name, folder)))
    const front = new Front(await startHaproxy({ pods, ...options }), folder)
    for (const pod of pods) front.pods.set(pod.name, pod)
    for (const name of names) await front.seen(name, 'UP')
    return front
  }

  pod(name: string): TinyPod {
    return this.pods.get(name)!
  }

  /** Starts one more pod, which HAProxy does not know yet. */
  async add(name: string): Promise<TinyPod> {
    const pod = await startTinyPod(name, this.#folder)
    this.pods.set(name, pod)
    return pod
  }

  /** Waits until HAProxy holds `name` for `state` (`UP`, `NOLB`, `DOWN`). */
  async seen(name: string, state: string): Promise<void> {
    let seen: unknown
    await until(
      () => `HAProxy holds ${name} for ${state}: ${JSON.stringify(seen)}`,
      async () => {
        const states = await this.haproxy.states()
        seen = states
        return states.find(({ pod }) => pod === name)?.state === state
      },
    )
  }

  /** How many requests to `path` a pod has seen the head of. */
  async heard(name: string, path: string): Promise<number> {
    const answer = await fetch(`${this.pod(name).url}/test/heard`)
    return ((await answer.json()) as Record<string, number>)[path] ?? 0
  }

  async drain(name: string): Promise<void> {
    await fetch(`${this.pod(name).url}/test/drain`)
  }

  /** A webhook through HAProxy, as the carrier sends it: one that got no answer, because its pod died under it, is sent again (rp=all). */
  async post(path: string, callSid = 'CA1', headers: Record<string, string> = {}): Promise<Answer> {
    const body = new URLSearchParams({ CallSid: callSid })
    const ask = () => fetch(`${this.haproxy.url}${path}`, { method: 'POST', body, headers })
    const response = await ask().catch(ask)
    const text = await response.text()
    const rest = text.startsWith('{') ? (JSON.parse(text) as Omit<Answer, 'status'>) : { pod: '', url: '', headers: {} }
    return { status: response.status, ...rest }
  }

  /** A media stream through HAProxy, open. */
  async stream(pod: string, callSid: string, headers: Record<string, string> = {}): Promise<Stream> {
    const url = `${this.haproxy.url.replace('http', 'ws')}/media/${pod}/${callSid}/token`
    const socket = new WebSocket(url, { headers })
    const first = once(socket, 'message')
    const upgrade = once(socket, 'upgrade') as Promise<[{ headers: Record<string, string> }]>
    const closed = new Promise<number>((resolve) => {
      socket.on('close', () => resolve(performance.now()))
    })
    socket.on('error', () => {})
    const [[response], [seen]] = await Promise.all([upgrade, first])
    return {
      pod: response.headers['x-pod'] ?? '',
      headers: JSON.parse(String(seen)) as Record<string, string>,
      isOpen: () => socket.readyState === WebSocket.OPEN,
      closedAtMs: closed,
      echo: async (text) => {
        const back = once(socket, 'message')
        socket.send(text)
        return String((await back)[0])
      },
      close: () => socket.terminate(),
    }
  }

  async close(): Promise<void> {
    for (const { program } of this.pods.values()) await program.stop({ signal: 'SIGKILL' })
    await this.haproxy.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A media stream as its caller sees it; `headers` are what the pod got. */
export type Stream = {
  pod: string
  headers: Record<string, string>
  isOpen: () => boolean
  /** When it was closed, in ms of performance.now(). */
  closedAtMs: Promise<number>
  echo: (text: string) => Promise<string>
  close: () => void
}

async function startTinyPod(name: string, folder: string): Promise<TinyPod> {
  const port = await pickPort()
  const url = `http://127.0.0.1:${port}`
  const program = await launch({
    name,
    command: process.execPath,
    args: [TINY_POD, name, String(port)],
    logFile: join(folder, `${name}.log`),
    isReady: async () => (await fetch(`${url}/ready`)).ok,
  })
  return { name, host: '127.0.0.1', port, url, program }
}
