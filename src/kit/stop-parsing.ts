// Ends the reading of HTTP requests on a connection that is given up. One read of 64 kB holds thousands of pipelined requests, and Node
// parses and emits all of them in one turn of the event loop, also after the socket is destroyed.
import type { Socket } from 'node:net'

/** What Node's parser takes as "this is an upgrade: parse no further". */
const STOP = 2

/** Node has no public way: where a version has no such parser, what was read is parsed to its end, and unauthenticated.ts drops it. */
type Parsed = Socket & { parser?: { onIncoming?: () => number } | null }

/** The request that is being emitted is the last but one that is parsed. Call it from its listener. */
export function stopParsing(socket: Socket): void {
  const { parser } = socket as Parsed
  if (typeof parser?.onIncoming === 'function') parser.onIncoming = () => STOP
}
