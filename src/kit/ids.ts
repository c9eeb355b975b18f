// Branded ids: strings that cannot be mixed up by the compiler.
import { randomBytes } from 'node:crypto'

/** Our own id of a call; outlives pods and sockets. */
export type CallId = string & { readonly brand: 'CallId' }
/** The carrier's id of a call (Twilio: `CA` + 32 hex). */
export type CallSid = string & { readonly brand: 'CallSid' }

/** A new call id, 20 characters, safe in URLs and logs. */
export function newCallId(): CallId {
  return `call_${randomBytes(10).toString('base64url')}` as CallId
}

/** A name for one run of a process. */
export function newIncarnation(): string {
  return randomBytes(9).toString('base64url')
}
