// Requests while signatures are not checked, as in development on loopback. Loopback keeps other machines out, but no browser on this one:
// any page that it shows can send a form or open a WebSocket here. Rules:
// UCH1: a request that says it comes from a page is refused: one with Origin, or with a Sec-Fetch-Site other than `none`.
// UCH2: so is one whose Host is no loopback name: a page's own name may lead to 127.0.0.1, and its requests then need no Origin.
import type { IncomingHttpHeaders } from 'node:http'
import { isLoopbackHost } from '../../kit/loopback.ts'

/** Why a request is refused that need not be signed; undefined: it may pass. */
export function uncheckedProblem(headers: IncomingHttpHeaders): string | undefined {
  const { origin, host = '', 'sec-fetch-site': site = 'none' } = headers
  if (origin !== undefined || site !== 'none')
    return 'it comes from a web page, and signatures are not checked: set TWILIO_AUTH_TOKEN'
  const url = URL.parse(`http://${host}`)
  if (url === null || !isLoopbackHost(url.hostname))
    return 'its Host is not this machine, and signatures are not checked: set TWILIO_AUTH_TOKEN'
  return undefined
}
