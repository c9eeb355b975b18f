// A TCP relay before a server, so that one client's way to it can be hurt while all others keep theirs. Rules:
// VL1: open: what comes is passed on in order, as fast as the slower side reads; nothing is kept but what the sockets keep.
// VL2: cut: all connections are destroyed and each new one is destroyed at once, as if the server's host were gone.
// VL3: frozen: connections stay and new ones are taken, but nothing passes; when it is open again, all of it passes late.
// VL4: CONNECTIONS_MAX at once; one more is destroyed.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const CONNECTIONS_MAX = 256

type RelayState = 'open' | 'cut' | 'frozen'

export type Relay = {
  /** Where it listens on 127.0.0.1. */
  readonly port: number
  readonly state: RelayState
  /** [VL1][VL2][VL3] */
  set(state: RelayState): void
  /** New connections go to this port of 127.0.0.1; those there are destroyed, so that their clients come again, unless `keeps`. */
  retarget(port: number, keeps?: boolean): void
  /** Destroys all connections and listens no more. */
  close(): Promise<void>
}

type Pair = { near: Socket; far: Socket }

/** Starts a relay to a port of 127.0.0.1. */
export async function startRelay(targetPort: number): Promise<Relay> {
  const pairs = new Set<Pair>()
  let state: RelayState = 'open'
  let target = targetPort
  const server = createServer((near) => {
    // Without a listener an error of a socket would end the process; its close is what counts.
    near.on('error', () => {})
    if (state === 'cut' || pairs.size >= CONNECTIONS_MAX) return void near.destroy()
    const pair = { near, far: connect(target, '127.0.0.1') }
    pair.far.on('error', () => {})
    near.setNoDelay(true)
    pair.far.setNoDelay(true)
    pairs.add(pair)
    const end = (): void => {
      pairs.delete(pair)
      destroy(pair)
    }
    near.on('close', end)
    pair.far.on('close', end)
    if (state === 'open') join(pair)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const destroyAll = (): void => {
    for (const pair of pairs) destroy(pair)
  }
  return {
    port,
    get state() {
      return state
    },
    set: (next) => {
      if (next === state) return
      state = next
      if (next === 'cut') destroyAll()
      else for (const pair of pairs) next === 'open' ? join(pair) : part(pair)
    },
    retarget: (next, keeps = false) => {
      target = next
      if (!keeps) destroyAll()
    },
    close: () => {
      state = 'cut'
      destroyAll()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function join({ near, far }: Pair): void {
  near.pipe(far)
  far.pipe(near)
}

function part({ near, far }: Pair): void {
  near.unpipe(far).pause()
  far.unpipe(near).pause()
}

function destroy({ near, far }: Pair): void {
  near.destroy()
  far.destroy()
}
