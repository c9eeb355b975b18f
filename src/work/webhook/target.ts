// Where a webhook may go. Rules:
// WT1: the address is judged, not the name, and the connection goes to the address that was judged: a name that answers otherwise
//      the next time changes nothing.
// WT2: private, loopback, link-local, shared, multicast, reserved and unspecified addresses are refused unless they are allowed, in IPv4,
//      in IPv6, and in IPv4 hidden in IPv6. A name is refused when any of its addresses is.
import { lookup as dnsLookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

export const REFUSED = 'EPRIVATE'

const V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const
/** All but global unicast (2000::/3), and in it documentation, Teredo and 6to4, which hide an IPv4 address. */
const V6 = [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 32],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const

// Two lists: in one, a net of IPv6 would hold the IPv4 addresses that are mapped into it.
const refused = { ipv4: new BlockList(), ipv6: new BlockList() }
for (const [net, bits] of V4) refused.ipv4.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of V6) refused.ipv6.addSubnet(net, bits, 'ipv6')

/** [WT2] `address` is an address, not a name. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0) return false
  const name = family === 4 ? 'ipv4' : 'ipv6'
  return !refused[name].check(address, name)
}

/** The lookup of a client that may reach public addresses only; fails with REFUSED otherwise. `resolve` is for tests. */
export function publicLookup(resolve: typeof dnsLookup = dnsLookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 4)
      const isRefused = addresses.length === 0 || addresses.some(({ address }) => !isPublicAddress(address))
      if (isRefused) {
        const refusal: NodeJS.ErrnoException = new Error('the receiver has a private address')
        refusal.code = REFUSED
        return callback(refusal, '', 4)
      }
      const [first] = addresses
      if (options.all === true) return callback(null, addresses)
      return callback(null, first!.address, first!.family)
    })
  }
}

/** A URL that names its address needs no lookup: it is judged here. */
export function namesPrivateAddress(url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return isIP(host) !== 0 && !isPublicAddress(host)
}
