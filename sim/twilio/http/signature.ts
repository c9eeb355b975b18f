// X-Twilio-Signature, made the way the carrier makes it.
// S1: base64 of HMAC-SHA1 with the auth token over the URL without its fragment, then each key and value, keys sorted by bytes.
// S2: several values of one key are made unique and sorted.
// S3: a GET and an upgrade are signed over the URL alone.

import { createHmac } from 'node:crypto'

export type FormParams = Record<string, string | string[]>

/** The URL that is sent and signed: the configured one without its fragment. */
export function withoutFragment(url: string): string {
  const at = url.indexOf('#')
  return at < 0 ? url : url.slice(0, at)
}

/** The signature of a request to `url` with these form parameters. */
export function sign(authToken: string, url: string, params: FormParams = {}): string {
  let text = withoutFragment(url)
  const keys = Object.keys(params).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const key of keys) {
    const value = params[key]!
    const values = Array.isArray(value) ? [...new Set(value)].sort() : [value]
    for (const one of values) text += key + one
  }
  return createHmac('sha1', authToken).update(text, 'utf8').digest('base64')
}
