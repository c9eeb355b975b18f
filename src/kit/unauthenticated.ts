// Connections of those who have not shown who they are: no signature, no token. Rules:
// UNA1: a connection counts from its first moment, and again from the head of each request on it; the request that shows a
//      signature or a token takes it out until the next one.
// UNA2: at most `max` at once. One more, and the oldest one of the source that has most is destroyed and counted: who shows
//      something at once is never the oldest.
// UNA3: a source is the address of the socket, of IPv6 its first 64 bits. Where that is a trusted proxy it is the last address in
//      X-Forwarded-For that is none. What a stranger writes there is never believed.
// UNA4: a request that shows nothing is the last one of its connection: its answer says `connection: close`. One more request there,
//      or one that comes before the first has shown anything, destroys the connection, and what it sent besides is not parsed.
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BlockList, isIP, type Socket } from 'node:net'
import { stopParsing } from './stop-parsing.ts'

export const UNAUTHENTICATED_MAX = 512
/** Of the descriptors that the process may have, the part that strangers may hold. */
const DESCRIPTORS_SHARE = 0.25
/** Addresses read from the end of X-Forwarded-For. */
const FORWARDED_MAX = 8

/** What a request has shown: nothing yet. `keepsAlive`: whether its connection would outlive the answer. */
type Unproven = { response: ServerResponse | undefined; keepsAlive: boolean }

export class UnauthenticatedConnections {
  readonly #max: number
  readonly #sources: Sources
  readonly #sourceOf = new Map<Socket, string>()
  /** Of each source the oldest first; the sources in the order in which they came. */
  readonly #of = new Map<string, Set<Socket>>()
  /** Of each connection the last request, while that has shown nothing. */
  readonly #unproven = new WeakMap<Socket, Unproven>()
  #ended = 0

  constructor(options: { max?: number; sources: Sources }) {
    this.#max = options.max ?? UNAUTHENTICATED_MAX
    this.#sources = options.sources
  }

  get size(): number {
    return this.#sourceOf.size
  }

  /** Connections that were destroyed to make room, or for a further request (UNA4), since the start. */
  get ended(): number {
    return this.#ended
  }

  /** A connection has come. */
  add(socket: Socket): void {
    this.#put(socket, this.#sources.ofSocket(socket))
    socket.once('close', () => this.#take(socket))
  }

  /** The head of a request has come; an upgrade has no `response`. False: it is not to be answered, its connection is destroyed. */
  begin(request: IncomingMessage, response?: ServerResponse): boolean {
    const { socket } = request
    if (socket.destroyed) return false
    this.#take(socket)
    if (this.#unproven.has(socket)) {
      this.#ended += 1
      stopParsing(socket)
      socket.destroy()
      return false
    }
    this.#put(socket, this.#sources.of(request))
    this.#unproven.set(socket, { response, keepsAlive: response?.shouldKeepAlive ?? false })
    if (response !== undefined) response.shouldKeepAlive = false
    return true
  }

  /** The request on this connection has shown a signature or a token. */
  authenticated(socket: Socket): void {
    this.#take(socket)
    const shown = this.#unproven.get(socket)
    this.#unproven.delete(socket)
    if (shown?.response !== undefined) shown.response.shouldKeepAlive = shown.keepsAlive
  }

  #put(socket: Socket, source: string): void {
    if (this.#sourceOf.size >= this.#max) this.#makeRoom()
    const others = this.#of.get(source) ?? new Set()
    this.#of.set(source, others.add(socket))
    this.#sourceOf.set(socket, source)
  }

  #take(socket: Socket): void {
    const source = this.#sourceOf.get(socket)
    if (source === undefined) return
    this.#sourceOf.delete(socket)
    const others = this.#of.get(source)!
    others.delete(socket)
    if (others.size === 0) this.#of.delete(source)
  }

  /** [UNA2] */
  #makeRoom(): void {
    let most: Set<Socket> | undefined
    for (const sockets of this.#of.values()) if (most === undefined || sockets.size > most.size) most = sockets
    const [oldest] = most ?? []
    if (oldest === undefined) return
    this.#take(oldest)
    this.#ended += 1
    oldest.destroy()
  }
}

/** How many connections of strangers a process may hold that may open `descriptors` files. */
export function unauthenticatedMax(descriptors: number | undefined): number {
  if (descriptors === undefined) return UNAUTHENTICATED_MAX
  return Math.max(1, Math.min(UNAUTHENTICATED_MAX, Math.floor(descriptors * DESCRIPTORS_SHARE)))
}

/** The files that this process may have open, as Linux tells; undefined elsewhere. */
export function descriptorsMax(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

/** Says where a request comes from (UNA3). */
export class Sources {
  readonly #trusted: BlockList

  /** `trustedProxies`: addresses, or networks like 10.0.0.0/8. Throws when one is neither. */
  constructor(trustedProxies: readonly string[] = []) {
    this.#trusted = new BlockList()
    for (const one of trustedProxies) {
      const [address = '', bits] = one.split('/')
      const kind = isIP(address) === 6 ? 'ipv6' : 'ipv4'
      if (bits === undefined) this.#trusted.addAddress(address, kind)
      else this.#trusted.addSubnet(address, Number(bits), kind)
    }
  }

  ofSocket(socket: Socket): string {
    return networkOf(plain(socket.remoteAddress ?? ''))
  }

  of(request: IncomingMessage): string {
    let address = plain(request.socket.remoteAddress ?? '')
    const { 'x-forwarded-for': header } = request.headers
    const said = typeof header === 'string' ? header.split(',').slice(-FORWARDED_MAX) : []
    while (this.#isTrusted(address)) {
      const before = plain(said.pop()?.trim() ?? '')
      if (isIP(before) === 0) break
      address = before
    }
    return networkOf(address)
  }

  #isTrusted(address: string): boolean {
    const version = isIP(address)
    return version !== 0 && this.#trusted.check(address, version === 6 ? 'ipv6' : 'ipv4')
  }
}

/** An IPv4 address that a socket of both kinds shows as IPv6. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '')

/** One subscriber of IPv6 has 2^64 addresses. */
function networkOf(address: string): string {
  if (isIP(address) !== 6) return address
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0')
  return [...before, ...zeros, ...after]
    .slice(0, 4)
    .map((part) => Number.parseInt(part, 16).toString(16))
    .join(':')
}
