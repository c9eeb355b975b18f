// The signature of what is sent. Rules:
// WS1: `X-Voiceplane-Signature: t=<seconds>,v1=<hex>`, one v1 for each secret: HMAC-SHA256 over `<seconds>.<body>`. A receiver accepts any
//      that it can make itself, and refuses an old time.
import { createHmac } from 'node:crypto'

export const SIGNATURE_HEADER = 'x-voiceplane-signature'

/** The header's value for `body` at `wallMs`. */
export function sign(body: string, secrets: readonly string[], wallMs: number): string {
  const seconds = Math.floor(wallMs / 1_000)
  const marks = secrets.map((secret) => `v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`)
  return [`t=${seconds}`, ...marks].join(',')
}
