// A wire that can go dead without a word: from then on nothing passes and nothing is closed, as when a machine loses its power.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export class FrozenWire {
  readonly port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #near = new Set<Socket>()
  #isFrozen = false
  #isCut = false

  private constructor(server: Server, target: () => number) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (near) => this.#join(near, target))
  }

  /** Listens on a free port of this machine; passes on to `target`, a port of this machine, asked at each connection. */
  static async open(target: () => number): Promise<FrozenWire> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new FrozenWire(server, target)
  }

  freeze(): void {
    this.#isFrozen = true
  }

  /** Frozen for those behind it; those before it see their connections reset, old and new. */
  cut(): void {
    this.#isFrozen = true
    this.#isCut = true
    for (const near of this.#near) near.resetAndDestroy()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(near: Socket, target: () => number): void {
    this.#keep(near)
    this.#near.add(near)
    near.on('close', () => this.#near.delete(near))
    if (this.#isCut) near.resetAndDestroy()
    if (this.#isFrozen) return
    const far = connect(target(), '127.0.0.1')
    this.#keep(far)
    this.#pass(near, far)
    this.#pass(far, near)
  }

  #pass(from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (!this.#isFrozen) to.write(bytes)
    })
    from.on('close', () => {
      if (!this.#isFrozen) to.destroy()
    })
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.resume()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }
}
