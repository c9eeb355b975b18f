// X-Twilio-Signature. Rules:
// SG1: the signed URL is the CONFIGURED public base + the request's path and query as received; Host headers never count.
// SG2: primary and secondary token are tried; no token, no header or an odd header means no entry (fail closed).
// SG3: an upgrade is signed over its wss:// URL; with and without the standard port and with and without a trailing
//     slash all count, because stacks differ.
// SG4: a JSON body is bound by bodySHA256 in the signed query.
// SG6: the fields are sorted and joined once, however many tokens and spellings of the URL are tried.
// SG5: checks are off only when the configuration says so; then everything is `valid` and the caller logged it at start.
import { createHash, timingSafeEqual } from 'node:crypto'
import { validateRequest } from 'twilio/lib/webhooks/webhooks.js'

const SIGNATURE = /^[+/0-9A-Za-z]{27}=$/ // base64 of SHA-1

/** The outcome of a check. */
type SignatureResult = { kind: 'valid' } | { kind: 'missing' } | { kind: 'forged' }

/** The form's fields as parsed; a repeated field is an array. */
export type FormFields = Record<string, string | string[]>

/** What a header may be in node:http. */
type HeaderValue = string | string[] | undefined

/** Verifies what claims to come from Twilio. `path` is path and query exactly as received. */
export interface Signatures {
  form(request: { path: string; fields: FormFields; signature: HeaderValue }): SignatureResult
  get(request: { path: string; signature: HeaderValue }): SignatureResult
  json(request: { path: string; body: Buffer; signature: HeaderValue }): SignatureResult
  upgrade(request: { path: string; signature: HeaderValue }): SignatureResult
}

/** Makes the verifier. `baseUrl` is asked at each request, so that a port learnt late counts. */
export function makeSignatures(options: {
  check: 'on' | 'off' | 'off-loopback'
  authTokens: readonly string[]
  baseUrl: () => string
}): Signatures {
  const verify = (urls: readonly string[], fields: FormFields, signature: HeaderValue): SignatureResult => {
    if (options.check !== 'on') return { kind: 'valid' }
    if (signature === undefined || signature === '') return { kind: 'missing' }
    if (!hasSignature(signature)) return { kind: 'forged' }
    const joined = { '': joinFields(fields) }
    const isSigned = options.authTokens.some(
      (token) => token !== '' && urls.some((url) => isSignedWith(token, signature, url, joined)),
    )
    return { kind: isSigned ? 'valid' : 'forged' }
  }
  const urlOf = (path: string) => options.baseUrl() + path
  return {
    form: ({ path, fields, signature }) => verify([urlOf(path)], fields, signature),
    get: ({ path, signature }) => verify([urlOf(path)], {}, signature),
    json({ path, body, signature }) {
      const result = verify([urlOf(path)], {}, signature)
      if (result.kind !== 'valid' || options.check !== 'on') return result
      return hasBodyHash(path, body) ? result : { kind: 'forged' }
    },
    upgrade({ path, signature }) {
      return verify(spellings(urlOf(path).replace(/^http/, 'ws')), {}, signature)
    },
  }
}

/** Whether a header may be a signature at all: all else is refused before the body is read. */
export function hasSignature(header: HeaderValue): header is string {
  return typeof header === 'string' && SIGNATURE.test(header)
}

/** [SG6] What Twilio signs behind the URL: names and values, sorted by name; of a repeated field each value once, sorted. */
function joinFields(fields: FormFields): string {
  let joined = ''
  for (const name of Object.keys(fields).sort()) {
    const value = fields[name]!
    for (const one of typeof value === 'string' ? [value] : [...new Set(value)].sort()) joined += name + one
  }
  return joined
}

/** Twilio's own comparison (timing-safe, tolerant about ports and escapes); a URL it cannot read is not signed. */
function isSignedWith(token: string, signature: string, url: string, fields: FormFields): boolean {
  try {
    return validateRequest(token, signature, url, fields)
  } catch {
    return false
  }
}

function hasBodyHash(path: string, body: Buffer): boolean {
  const said = Buffer.from(new URLSearchParams(path.split('?')[1] ?? '').get('bodySHA256') ?? '')
  const is = Buffer.from(createHash('sha256').update(body).digest('hex'))
  return said.length === is.length && timingSafeEqual(said, is)
}

/** The spellings of an upgrade's URL that may have been signed (SG3); Twilio's check knows port 443 of https only. */
function spellings(url: string): string[] {
  const queryStart = url.includes('?') ? url.indexOf('?') : url.length
  const before = url.slice(0, queryStart)
  const other = before.endsWith('/') ? before.slice(0, -1) : `${before}/`
  return [before, other].flatMap((path) => {
    const whole = path + url.slice(queryStart)
    const withPort = whole.replace(/^wss:\/\/([^/:]+|\[[^\]]+\])(?=\/|\?|$)/, 'wss://$1:443')
    return withPort === whole ? [whole] : [whole, withPort]
  })
}
