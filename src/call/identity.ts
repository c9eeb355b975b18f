// Who a call is between: one identity, the same on every path that the call takes. Rules:
// IDN1: the far party is the one that is not ours: From of an inbound call, To of an outbound one. The other number is ours, and the
//      tenant is whose it is.
// IDN2: only here is decided whether a far party is known: by a number in E.164 that is not a carrier's word for a withheld one. A
//      withheld number, a SIP or client address (anybody may write one) and an empty one identify nobody: such callers share nothing.
// IDN3: a number is one however it is written: spaces, dots, dashes, slashes and parentheses do not count.
// IDN4: how an address is written identifies nobody, but it is counted: a number in another spelling (`00…`, no plus, `tel:`, `;ext=`, the
//      user of a SIP address) as that number, any other address as itself. A word for a withheld number and an empty address are nothing.
import { createHash } from 'node:crypto'
import type { CallId, CallSid } from '../kit/ids.ts'

export type Direction = 'inbound' | 'outbound'

/** The two ends of a call, as the carrier gave them. */
export type CallEnds = { from: string; to: string; direction: Direction }

/** A call and whose it is. */
export type CallIdentity = CallEnds & { callId: CallId; callSid: CallSid; tenant: string }

/** Whom we talk with. `number` is in E.164. */
export type FarParty = { kind: 'known'; number: string } | { kind: 'withheld' }

const E164 = /^\+[1-9]\d{6,14}$/
const WRITTEN = /^[+\d\s()./-]+$/
/** What is longer is counted by its beginning. */
const ADDRESS_MAX_CHARACTERS = 320
/** What is shorter is an extension. */
const INTERNATIONAL_MIN_DIGITS = 9
/** What networks put for a number that was withheld, spelt on the keypad when a number is asked for. */
const WITHHELD_WORDS = ['anonymous', 'restricted', 'unavailable', 'unknown', 'private', 'blocked', 'withheld']
const KEYPAD = ['abc', 'def', 'ghi', 'jkl', 'mno', 'pqrs', 'tuv', 'wxyz']
const WITHHELD_NUMBERS: ReadonlySet<string> = new Set(WITHHELD_WORDS.map((word) => `+${keypadDigits(word)}`))

/** [IDN1] The far end as the carrier gave it. */
export function farEndOf({ from, to, direction }: CallEnds): string {
  return direction === 'outbound' ? to : from
}

/** [IDN1] Our own number in the call. */
export function ownNumberOf({ from, to, direction }: CallEnds): string {
  return direction === 'outbound' ? from : to
}

/** [IDN1][IDN2] */
export function farPartyOf(ends: CallEnds): FarParty {
  return partyOf(farEndOf(ends))
}

/** [IDN2][IDN3] Whether `address` identifies somebody. */
export function partyOf(address: string): FarParty {
  const number = WRITTEN.test(address) ? address.replace(/[^+\d]/g, '') : ''
  return E164.test(number) && !WITHHELD_NUMBERS.has(number) ? { kind: 'known', number } : { kind: 'withheld' }
}

/** [IDN4] What the far end is counted as: a number in E.164, or an address; undefined: nothing tells it from other withheld ones. */
export function writtenPartyOf(ends: CallEnds): string | undefined {
  const address = farEndOf(ends)
    .slice(0, ADDRESS_MAX_CHARACTERS)
    .trim()
    .toLowerCase()
    .replace(/^(?:sips?|tel|client):/, '')
  const [bare = ''] = address.split(/[;?]/)
  const [user = ''] = bare.split(/[@:]/)
  const party = partyOf(internationalOf(user))
  if (party.kind === 'known') return party.number
  const isNobody = user === '' || WITHHELD_WORDS.some((word) => user.startsWith(word)) || isWithheldNumber(user)
  return isNobody ? undefined : bare
}

/** A number without its plus, or with the zeros for it. */
function internationalOf(user: string): string {
  const digits = WRITTEN.test(user) ? user.replace(/[^+\d]/g, '').replace(/^\+?0+|^\+/, '') : ''
  return digits.length < INTERNATIONAL_MIN_DIGITS ? '' : `+${digits}`
}

function isWithheldNumber(user: string): boolean {
  return WITHHELD_NUMBERS.has(`+${user.replace(/\D/g, '')}`)
}

/** The number of a known far party. */
export function numberOf(party: FarParty): string | undefined {
  return party.kind === 'known' ? party.number : undefined
}

/** `direction` as the carrier writes it: `inbound`, `outbound-api`, `outbound-dial`. */
export function directionOf(text: string): Direction {
  return text.startsWith('outbound') ? 'outbound' : 'inbound'
}

function keypadDigits(word: string): string {
  return Array.from(word, (letter) => KEYPAD.findIndex((key) => key.includes(letter)) + 2).join('')
}

/** The call's own id: the same from every pod, so that a repeated webhook makes no second call. */
export function callIdOf(callSid: CallSid): CallId {
  return `call_${createHash('sha256').update(callSid).digest('base64url').slice(0, 16)}` as CallId
}
