// Ports of 127.0.0.1 for programs that must be told theirs before they start.
import { createServer } from 'node:net'

/** Below the range from which the kernel takes ports for connections, so that a program that starts again finds its port free. */
const PORT_MIN = 20_000
const PORT_MAX = 31_999
const PORT_TRIES = 200

const taken = new Set<number>()

/** A port of 127.0.0.1 that is free now and that this process has not handed out before. */
export async function pickPort(): Promise<number> {
  for (let tried = 0; tried < PORT_TRIES; tried++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN + 1))
    if (taken.has(port) || !(await isFree(port))) continue
    taken.add(port)
    return port
  }
  throw new Error(`no free port from ${PORT_MIN} to ${PORT_MAX} in ${PORT_TRIES} tries`)
}

/** Whether nobody listens on this port of 127.0.0.1. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** A port that was free a moment ago, of the kernel's choice. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address === null || typeof address === 'string' ? reject() : resolve(address.port)))
    })
  })
}
