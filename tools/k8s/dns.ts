// A name server for tests: one name, whatever is asked, answered with a list of IPv4 addresses that may change. Over UDP on 127.0.0.1.
import { createSocket } from 'node:dgram'
import type { AddressInfo } from 'node:net'

const TYPE_A = 1
const TTL_SECONDS = 1
const HEAD_BYTES = 12

export type NameServer = {
  readonly port: number
  /** What is answered from now on. */
  addresses: string[]
  close(): Promise<void>
}

/** Starts it with `addresses`. */
export async function startNameServer(addresses: readonly string[]): Promise<NameServer> {
  const socket = createSocket('udp4')
  const server = {
    port: 0,
    addresses: [...addresses],
    close: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  }
  socket.on('message', (query, peer) => socket.send(answer(query, server.addresses), peer.port, peer.address))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  server.port = (socket.address() as AddressInfo).port
  return server
}

function answer(query: Buffer, addresses: readonly string[]): Buffer {
  let end = HEAD_BYTES
  while (query[end] !== 0) end += query[end]! + 1
  const question = query.subarray(HEAD_BYTES, end + 5)
  const asksForA = question.readUInt16BE(question.length - 4) === TYPE_A
  const records = asksForA ? addresses.map(recordOf) : []
  const head = Buffer.alloc(HEAD_BYTES)
  query.copy(head, 0, 0, 2)
  head.writeUInt16BE(0x8580, 2) // an authoritative answer
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(records.length, 6)
  return Buffer.concat([head, question, ...records])
}

function recordOf(address: string): Buffer {
  const record = Buffer.alloc(16)
  record.writeUInt16BE(0xc00c, 0) // the name of the question
  record.writeUInt16BE(TYPE_A, 2)
  record.writeUInt16BE(1, 4)
  record.writeUInt32BE(TTL_SECONDS, 6)
  record.writeUInt16BE(4, 10)
  address.split('.').forEach((part, index) => {
    record[12 + index] = Number(part)
  })
  return record
}
