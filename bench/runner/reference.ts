// How fast this machine is now, beside the one that the wanted rates were set on. Rules:
// MR1: the reference is bare work of the bench's kind: echoes over loopback sockets with a digest each, IN_FLIGHT at a time, for
//      REFERENCE_MS, before and after what is measured; the mean of the two counts.
// MR2: a wanted rate is scaled down by it where the machine is slower, or busy with other work; a faster one wants no more.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { atLeast, type Bench, type Check } from './bench.ts'

const REFERENCE_MS = 2_000
const IN_FLIGHT = 16
const MESSAGE = Buffer.alloc(4_096, 7)
/** Echoes a second on the machine whose figures docs/figures.md gives, otherwise idle. */
export const REFERENCE_ECHOES_PER_SECOND = 45_000

/** This machine's speed, 1 or less: 1 is the reference machine's, and what is faster. */
export type MachineSpeed = { echoesPerSecond: number; speed: number }

/** Pure: the speed of a machine that did `echoesPerSecond`. */
export function speedOf(echoesPerSecond: readonly number[]): MachineSpeed {
  const mean = echoesPerSecond.reduce((sum, one) => sum + one, 0) / echoesPerSecond.length
  const speed = Math.min(1, mean / REFERENCE_ECHOES_PER_SECOND)
  return { echoesPerSecond: Math.round(mean), speed: Math.round(speed * 1_000) / 1_000 }
}

/** [MR1] Runs `measure` between two readings of the machine. */
export async function besideReference<T>(
  bench: Bench,
  measure: () => Promise<T>,
): Promise<{ value: T; machine: MachineSpeed }> {
  const before = await echoesPerSecond()
  const value = await measure()
  const machine = speedOf([before, await echoesPerSecond()])
  bench.note(`this machine did ${machine.echoesPerSecond} echoes/s beside it: ${machine.speed} of the reference`)
  return { value, machine }
}

/** [MR2] */
export function atLeastScaled(name: string, value: number | null, wanted: number, { speed }: MachineSpeed): Check {
  const check = atLeast(name, value, Math.round(wanted * speed))
  return { ...check, limit: `${check.limit}: ${wanted} × ${speed} of the reference machine` }
}

async function echoesPerSecond(): Promise<number> {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const startedMs = performance.now()
  const untilMs = startedMs + REFERENCE_MS
  const counts = await Promise.all(Array.from({ length: IN_FLIGHT }, () => echo(connect(port, '127.0.0.1'), untilMs)))
  const seconds = (performance.now() - startedMs) / 1_000
  server.close()
  return counts.reduce((sum, one) => sum + one, 0) / seconds
}

async function echo(socket: Socket, untilMs: number): Promise<number> {
  let count = 0
  let seenBytes = 0
  socket.on('data', (chunk: Buffer) => {
    seenBytes += chunk.length
    if (seenBytes < MESSAGE.length) return
    seenBytes -= MESSAGE.length
    count += 1
    createHash('sha256').update(MESSAGE).digest()
    if (performance.now() < untilMs) socket.write(MESSAGE)
    else socket.end()
  })
  socket.write(MESSAGE)
  await once(socket, 'close')
  return count
}
