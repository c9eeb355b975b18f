// Standard error as a stream that never makes the process wait. Rules:
// STE1: a pipe is opened once more, for this process alone: a child that inherits standard error makes the one they share wait again.
// STE2: what cannot be opened once more (a socket, another user's pipe) is told before each write not to wait.
// STE3: a file and a terminal are written at once.
import { constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'

const STANDARD_ERROR = 2

type Handle = { setBlocking?(isBlocking: boolean): unknown }

/** The stream to write to. `shared`: the process's own, which others write to as well. */
export function openStandardError(shared: Writable): Writable {
  try {
    if (fstatSync(STANDARD_ERROR).isFIFO()) {
      const fd = openSync(`/proc/self/fd/${STANDARD_ERROR}`, constants.O_WRONLY | constants.O_NONBLOCK)
      return new Socket({ fd, readable: false, writable: true })
    }
  } catch {
    // STE2.
  }
  return shared
}

/** [STE2] Harmless for what has no handle. */
export function neverWait(stream: Writable): void {
  const { _handle: handle } = stream as { _handle?: Handle | null }
  handle?.setBlocking?.(false)
}
