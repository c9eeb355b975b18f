// What every listener of a process has, whoever it is for. Rules:
// LIS1: a request has REQUEST_MAX_MS from its first byte to its last; its connection is ended SWEEP_MS later at the latest.
// LIS2: connections without a proof are bounded over all listeners of the process together (kit/unauthenticated.ts): they share its
//      descriptors and its event loop with the calls.
// LIS3: no request is answered before it is counted among them. Node would answer by itself, on a connection that it keeps, what lacks a Host (400) or expects
//      what it does not know (417): here both get that answer as the last one of their connection.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import { descriptorsMax, Sources, UnauthenticatedConnections, unauthenticatedMax } from './kit/unauthenticated.ts'

const REQUEST_MAX_MS = 5_000
/** Node ends a late request only when it looks (LIS1). */
const SWEEP_MS = 500
/** Longer than a proxy keeps one. Who shows nothing keeps none (UNA4). */
const KEEP_ALIVE_MS = 72_000
const BODY_MAX_BYTES = 65_536
/** Connections that wait in the kernel while this process is busy. When they are too many, one is lost and comes again a second later. */
const LISTEN_BACKLOG = 4_096

/** The strangers of a process. */
export function makeStrangers(trustedProxies: readonly string[]): UnauthenticatedConnections {
  return new UnauthenticatedConnections({
    max: unauthenticatedMax(descriptorsMax()),
    sources: new Sources(trustedProxies),
  })
}

/** An app that listens nowhere yet. `onRequest` hears of each request before its routes do. */
export function makeListener(
  strangers: UnauthenticatedConnections,
  onRequest?: (request: IncomingMessage, response: ServerResponse) => void,
): FastifyInstance {
  return fastify({
    bodyLimit: BODY_MAX_BYTES,
    forceCloseConnections: true,
    serverFactory: (answer) => {
      const server = createServer(
        {
          connectionsCheckingInterval: SWEEP_MS,
          headersTimeout: REQUEST_MAX_MS,
          requestTimeout: REQUEST_MAX_MS,
          keepAliveTimeout: KEEP_ALIVE_MS,
          requireHostHeader: false,
        },
        (request, response) => {
          if (!strangers.begin(request, response)) return
          if (request.httpVersion === '1.1' && request.headers.host === undefined) {
            refuse(response, 400)
            return
          }
          onRequest?.(request, response)
          answer(request, response)
        },
      )
      server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
        if (strangers.begin(request, response)) refuse(response, 417)
      })
      server.on('connection', (socket) => strangers.add(socket))
      return server as Server
    },
  })
}

/** [LIS3] */
function refuse(response: ServerResponse, status: 400 | 417): void {
  response.writeHead(status, { connection: 'close', 'content-length': 0 }).end()
}

/** Listens; gives back the port. Rejects when the address cannot be had. */
export async function listen(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<number> {
  await app.listen({ host, port, backlog: LISTEN_BACKLOG })
  return (app.server.address() as AddressInfo).port
}
