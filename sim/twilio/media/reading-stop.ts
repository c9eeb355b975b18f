// A carrier that stops reading the plane's socket for a while and goes on sending. Rules:
// RG1: nothing is taken from the kernel while it does not read: Node's `pause` alone would read on until its own queue is full.
// RG2: the log has the bytes read at the stop, at its end, and CAUGHT_UP_MS later: what waited on the way is their difference.
// RG3: a stream that ends meanwhile ends the stop with it.
import type { Socket } from 'node:net'
import type { CallRecord } from '../report.ts'

const CAUGHT_UP_MS = 1_000

/** From the opening of a stream, and for how long. */
export type ReadingStop = { fromMs: number; forMs: number }

type ReadHandle = { readStop(): number; readStart(): number }

/** Stops the reading of an open stream's socket as planned. */
export function stopReading(socket: Socket, plan: ReadingStop, record: CallRecord): void {
  let timer = setTimeout(() => {
    const handle = handleOf(socket)
    if (handle === undefined) return
    socket.pause()
    handle.readStop()
    record.note('reading-stopped', { bytes: socket.bytesRead })
    timer = setTimeout(() => {
      record.note('reading-again', { bytes: socket.bytesRead })
      handleOf(socket)?.readStart()
      socket.resume()
      timer = setTimeout(() => record.note('reading-caught-up', { bytes: socket.bytesRead }), CAUGHT_UP_MS)
    }, plan.forMs)
  }, plan.fromMs)
  socket.once('close', () => clearTimeout(timer))
}

function handleOf(socket: Socket): ReadHandle | undefined {
  return (socket as unknown as { _handle: ReadHandle | null })._handle ?? undefined
}
