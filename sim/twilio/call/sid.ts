// Identifiers as the carrier makes them.

import { randomBytes } from 'node:crypto'

/** A SID: two letters and 32 hex digits. */
export function newSid(prefix: string): string {
  return prefix + randomBytes(16).toString('hex')
}
