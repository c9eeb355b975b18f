// The rendered ingress on this machine: a name server, pods in processes of their own, HAProxy, and a client that speaks raw HTTP.
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { until } from '../../src/kit/testing/patience.ts'
import { renderChart } from '../../tools/k8s/chart.ts'
import { type NameServer, startNameServer } from '../../tools/k8s/dns.ts'
import { tlsFolder, writeCertificate, writeIngress } from '../../tools/k8s/ingress.ts'
import { fetchK8sTools } from '../../tools/k8s/programs.ts'
import { type Launched, launch } from '../../tools/launch.ts'
import { findFreePort } from '../../tools/ports.ts'
import { makeFolder } from '../../tools/servers/program.ts'

export { delay }

const READY_MAX_MS = 40_000
const ANSWER_MAX_MS = 8_000

/** One open stream: who has it, and what the pod saw of the signature. */
type Stream = {
  pod: string
  saw: string
  closed: Promise<unknown>
  echo(text: string): Promise<string>
  close(): void
}
type Pod = { address: string; child: ChildProcess }

export class Ingress {
  readonly addresses: readonly string[]
  readonly #port: number
  readonly #podPort: number
  readonly #names: NameServer
  readonly #pods = new Map<string, Pod>()
  readonly #folder: string
  readonly #hasTls: boolean
  readonly #metricsPort: number
  #proxy: Launched | undefined

  private constructor(parts: {
    addresses: readonly string[]
    port: number
    podPort: number
    names: NameServer
    folder: string
    hasTls: boolean
    metricsPort: number
  }) {
    this.addresses = parts.addresses
    this.#port = parts.port
    this.#podPort = parts.podPort
    this.#names = parts.names
    this.#folder = parts.folder
    this.#hasTls = parts.hasTls
    this.#metricsPort = parts.metricsPort
  }

  /**
   * Renders the chart, starts pods at `addresses` and the ingress before them; resolves when all pods are in rotation. With `tls` the
   * ingress has a certificate of that common name, and clients speak TLS.
   */
  static async start(addresses: readonly string[], options: { tls?: string } = {}): Promise<Ingress> {
    const hasTls = options.tls !== undefined
    const tools = await fetchK8sTools()
    if (tools.kind === 'failed') throw new Error(tools.message)
    const [port, podPort, metricsPort] = [await findFreePort(), await findFreePort(), await findFreePort()]
    const names = await startNameServer(addresses)
    const folder = makeFolder('ingress', 'haproxy')
    chmodSync(folder, 0o755)
    const ingress = new Ingress({ addresses, port, podPort, names, folder, hasTls, metricsPort })
    try {
      if (options.tls !== undefined) await ingress.renewCertificate(options.tls)
      for (const address of addresses) await ingress.startPod(address)
      const front = hasTls ? `ingress.tls.secretName=voice-tls,ingress.httpsPort=${port}` : `ingress.httpPort=${port}`
      const ports = `${front},ingress.metricsPort=${metricsPort},edge.port=${podPort}`
      const rendered = await renderChart(tools, { sets: [ports, `ingress.nameserver=127.0.0.1:${names.port}`] })
      if (rendered.kind === 'refused') throw new Error(rendered.reason)
      const config = writeIngress(rendered.manifests, folder)!
      const args = ['-W', '-db', '-f', config]
      const isReadyLine = (line: string) => line.includes('Loading success')
      const proxy = { name: 'the ingress', command: 'haproxy', args, user: 'haproxy', isReadyLine }
      ingress.#proxy = await launch({ ...proxy, deathSignal: 'SIGTERM' })
      await ingress.#untilAllServe()
      return ingress
    } catch (error) {
      await ingress.close()
      throw error
    }
  }

  async #untilAllServe(): Promise<void> {
    for (const address of this.addresses) {
      const path = `/twilio/next?pod=edge-x2x4z-${address.replaceAll('.', '-')}`
      const isServing = async () => (await this.post(path, 'CA1')).body === address
      await until(`${address} is in rotation`, isServing, READY_MAX_MS)
    }
  }

  /** Starts one more pod; DNS does not name it yet. */
  async startPod(address: string): Promise<Pod> {
    const child = fork(join(import.meta.dirname, 'pod.ts'), [address, String(this.#podPort)], { execArgv: [] })
    const pod = { address, child }
    this.#pods.set(address, pod)
    await once(child, 'message')
    return pod
  }

  /** From now on DNS names these. */
  tell(addresses: readonly string[]): void {
    this.#names.addresses = [...addresses]
  }

  async setReady(address: string, ready: boolean): Promise<void> {
    const { child } = this.#pods.get(address)!
    child.send({ ready })
    await once(child, 'message')
  }

  signal(address: string, signal: NodeJS.Signals): void {
    this.#pods.get(address)!.child.kill(signal)
  }

  /** A webhook, form-encoded; the body is the address of the pod that answered. */
  async post(path: string, callSid: string): Promise<{ status: number; body: string }> {
    const form = `CallSid=${callSid}`
    const head = `POST ${path} HTTP/1.1\r\nhost: voice\r\nconnection: close\r\ncontent-length: ${form.length}\r\n`
    const socket = this.#dial()
    socket.setTimeout(ANSWER_MAX_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.write(`${head}content-type: application/x-www-form-urlencoded\r\n\r\n${form}`)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    const body = text.slice(text.indexOf('\r\n\r\n') + 4)
    return { status: Number(text.split(' ')[1] ?? 0), body: /127\.\d+\.\d+\.\d+/.exec(body)?.[0] ?? '' }
  }

  /** Opens a stream; rejects when it is not switched. */
  async open(path: string): Promise<Stream> {
    const socket = this.#dial()
    socket.on('error', () => socket.destroy())
    const closed = once(socket, 'close')
    const key =
      'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    socket.write(`GET ${path} HTTP/1.1\r\nhost: voice\r\nx-twilio-signature: a-signature\r\n${key}\r\n`)
    const head = await read(socket, (text) => text.includes('\r\n\r\n'))
    assert.match(head, /^HTTP\/1\.1 101 /)
    const field = (name: string) => new RegExp(`^${name}: (.*)\r$`, 'm').exec(head)?.[1] ?? ''
    const echo = async (text: string) => {
      socket.write(text)
      return read(socket, (got) => got.length >= text.length)
    }
    return { pod: field('x-pod'), saw: field('x-saw'), closed, echo, close: () => socket.destroy() }
  }

  #dial(): Socket {
    const place = { port: this.#port, host: '127.0.0.1' }
    return this.#hasTls ? connectTls({ ...place, rejectUnauthorized: false }) : connect(place)
  }

  /** For how long, in seconds, HAProxy has held a pod for dead: on a busy machine one may not answer in time. */
  async downSeconds(): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`, {
      signal: AbortSignal.timeout(ANSWER_MAX_MS),
    })
    const rows = (await answer.text()).matchAll(
      /^haproxy_server_(?:downtime_seconds_total|check_up_down_total)\{.*\} (\d+)$/gm,
    )
    return [...rows].reduce((sum, [, value]) => sum + Number(value), 0)
  }

  /** Of HAProxy. */
  get pid(): number | undefined {
    return this.#proxy?.pid
  }

  /** The common name of the certificate that a new connection gets. */
  async certificateName(): Promise<string> {
    const socket = this.#dial() as TLSSocket
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(ANSWER_MAX_MS) })
    const { subject } = socket.getPeerCertificate()
    socket.destroy()
    return String(subject.CN)
  }

  /** Replaces certificate and key as Kubernetes does: a new folder, and one rename of the link to it. `keyOf`: the key of another one. */
  async renewCertificate(name: string, keyOf?: string): Promise<void> {
    const folder = tlsFolder(this.#folder)
    const fresh = join(folder, `..${name}`)
    await writeCertificate(fresh, name)
    if (keyOf !== undefined) copyFileSync(join(folder, `..${keyOf}`, 'site.pem.key'), join(fresh, 'site.pem.key'))
    for (const file of ['site.pem', 'site.pem.key']) {
      chmodSync(join(fresh, file), 0o644)
      if (!existsSync(join(folder, file))) symlinkSync(join('..data', file), join(folder, file))
    }
    symlinkSync(`..${name}`, join(folder, '..fresh'))
    renameSync(join(folder, '..fresh'), join(folder, '..data'))
  }

  async close(): Promise<void> {
    await this.#proxy?.stop()
    for (const { child } of this.#pods.values()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await this.#names.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Reads until `isWhole`; rejects when the socket closes before, or at the bound. */
function read(socket: Socket, isWhole: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const bound = setTimeout(() => end(new Error('no answer in time')), ANSWER_MAX_MS)
    const onChunk = (chunk: Buffer) => {
      text += chunk
      if (isWhole(text)) end()
    }
    const onClose = () => end(new Error('closed before its answer'))
    const end = (error?: Error) => {
      clearTimeout(bound)
      socket.off('data', onChunk).off('close', onClose)
      if (error === undefined) resolve(text)
      else reject(error)
    }
    socket.on('data', onChunk).on('close', onClose)
  })
}
