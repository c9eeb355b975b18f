// Where a webhook may go. Rules:
// WT1: the address is judged, not the name, and the connection goes to the address that was judged: a name that answers otherwise
//      the next time changes nothing.
// WT2: only global unicast addresses are allowed, as the kept library ipaddr.js reads the special-purpose registries of IANA (RFC 6890), and
//      not those that a cloud answers on inside its machines (CLOUD). The same holds for IPv4 hidden in IPv6: none is allowed. A name is
//      refused when any of its addresses is.
import { lookup as dnsLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'

export const REFUSED = 'EPRIVATE'

/** Public addresses that lead into the machine's own cloud: Azure's wire server. Others' are in private ranges. */
const CLOUD: readonly string[] = ['168.63.129.16']

/** Global unicast of IPv6; what IANA has not given out yet is outside it. */
const GLOBAL_V6 = ipaddr.parseCIDR('2000::/3')

/** [WT2] `address` is an address, not a name. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0 || CLOUD.includes(address)) return false
  const parsed = ipaddr.parse(address)
  if (parsed.range() !== 'unicast') return false
  return parsed.kind() === 'ipv4' || parsed.match(GLOBAL_V6)
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
