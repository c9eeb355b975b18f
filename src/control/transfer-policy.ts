// Where an agent may transfer a caller to: the plane's word, not the agent's. Rules:
// TRP1: a target is a number in E.164, or a SIP address or client that the operator named. Anything else is refused.
// TRP2: a number must be one that exists by its country's plan, and of a kind that costs what a call costs: premium, shared-cost, satellite,
//      personal and pager numbers are refused unless the operator named their prefix.
// TRP3: its country must be allowed: by TRANSFER_ALLOW, else it is the country of our own number in this call or of one in the limits file.
// TRP4: FALLBACK_NUMBER is the operator's own word and always allowed.
// TRP5: a far party is transferred at most `perCaller` times in WINDOW_MS, as this pod knows; at most CALLERS_MAX are remembered, the oldest
//      leave first. Whoever is withheld counts for one call alone.
// TRP6: a refusal is a value, with words that the agent may be told; nothing is dialled.
import { type PhoneNumber, parsePhoneNumberFromString } from 'libphonenumber-js/max'
import type { CallIdentity, FarParty } from '../call/identity.ts'
import type { Clock } from '../kit/clock.ts'

export const WINDOW_MS = 86_400_000
export const CALLERS_MAX = 20_000
/** Own numbers whose countries are looked at; numbers that begin alike are of one country. */
const SAMPLES_MAX = 1_000
const SAMPLE_CHARACTERS = 6

const E164 = /^\+[1-9]\d{6,14}$/
const SIP =
  /^sips?:[\w.+%-]{1,64}@(?<host>[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?)(?::\d{1,5})?(?:;transport=(?:udp|tcp|tls))?$/i
const USUAL_KINDS: ReadonlySet<string> = new Set(['FIXED_LINE', 'MOBILE', 'FIXED_LINE_OR_MOBILE', 'TOLL_FREE', 'VOIP'])

/** What the operator allows (TRANSFER_ALLOW). `isAnyCountry`: every country, of usual kinds of numbers. */
export type TransferRule = {
  isAnyCountry: boolean
  countries: readonly string[]
  prefixes: readonly string[]
  hosts: readonly string[]
  clients: readonly string[]
}
export type TransferRefusal = 'not-a-target' | 'no-such-number' | 'kind' | 'country' | 'host' | 'client' | 'too-often'
export type TransferVerdict =
  | { kind: 'allowed'; to: string }
  | { kind: 'refused'; reason: TransferRefusal; words: string }

export type TransferPolicyParts = {
  /** undefined: by our own numbers (TRP3). */
  rule: TransferRule | undefined
  ownNumbers: readonly string[]
  fallbackNumber: string | undefined
  perCaller: number
  clock: Clock
}

const WORDS: Readonly<Record<TransferRefusal, string>> = {
  'not-a-target': 'The transfer was not made: that is no number in international form. Offer something else.',
  'no-such-number': 'The transfer was not made: that number does not exist. Offer something else.',
  kind: 'The transfer was not made: numbers of that kind are not allowed. Offer something else.',
  country: 'The transfer was not made: numbers of that country are not allowed. Offer something else.',
  host: 'The transfer was not made: that address is not allowed. Offer something else.',
  client: 'The transfer was not made: that address is not allowed. Offer something else.',
  'too-often': 'The transfer was not made: this caller has been transferred too often today. Offer something else.',
}

export class TransferPolicy {
  readonly #parts: TransferPolicyParts
  readonly #made = new Map<string, number[]>()
  #ownCountries: ReadonlySet<string> | undefined

  constructor(parts: TransferPolicyParts) {
    this.#parts = parts
  }

  /** Judges a transfer of the call to `to`; one that is allowed counts. `ownNumber` is ours in the call. */
  judge(call: Pick<CallIdentity, 'callSid'> & { farParty: FarParty; ownNumber: string }, to: string): TransferVerdict {
    const verdict = this.#target(to.trim(), call.ownNumber)
    if (verdict.kind === 'refused') return verdict
    const key = call.farParty.kind === 'known' ? call.farParty.number : call.callSid
    return this.#count(key) ? verdict : refuse('too-often')
  }

  #target(to: string, ownNumber: string): TransferVerdict {
    const { rule, fallbackNumber } = this.#parts
    if (to === fallbackNumber) return { kind: 'allowed', to }
    if (/^sips?:/i.test(to)) {
      const host = SIP.exec(to)?.groups?.host
      if (host === undefined) return refuse('not-a-target')
      return rule?.hosts.includes(host.toLowerCase()) === true ? { kind: 'allowed', to } : refuse('host')
    }
    if (to.startsWith('client:'))
      return rule?.clients.includes(to.slice('client:'.length)) === true ? { kind: 'allowed', to } : refuse('client')
    const number = to.replace(/[\s().-]/g, '')
    if (!E164.test(number)) return refuse('not-a-target')
    if (rule?.prefixes.some((prefix) => number.startsWith(prefix)) === true) return { kind: 'allowed', to: number }
    return this.#number(number, ownNumber)
  }

  /** [TRP2][TRP3] */
  #number(number: string, ownNumber: string): TransferVerdict {
    const { rule } = this.#parts
    const parsed = parsed164(number)
    if (parsed === undefined || !parsed.isValid()) return refuse('no-such-number')
    if (parsed.country === undefined || !USUAL_KINDS.has(parsed.getType() ?? '')) return refuse('kind')
    const { country } = parsed
    const isAllowed =
      rule !== undefined
        ? rule.isAnyCountry || rule.countries.includes(country)
        : parsed164(ownNumber)?.country === country || this.#countries().has(country)
    return isAllowed ? { kind: 'allowed', to: number } : refuse('country')
  }

  #countries(): ReadonlySet<string> {
    if (this.#ownCountries !== undefined) return this.#ownCountries
    const samples = new Map(this.#parts.ownNumbers.map((number) => [number.slice(0, SAMPLE_CHARACTERS), number]))
    const countries = [...samples.values()].slice(0, SAMPLES_MAX).map((number) => parsed164(number)?.country)
    this.#ownCountries = new Set(countries.filter((country) => country !== undefined))
    return this.#ownCountries
  }

  /** [TRP5] */
  #count(key: string): boolean {
    const nowMs = this.#parts.clock.monotonicMs()
    const recent = (this.#made.get(key) ?? []).filter((atMs) => atMs > nowMs - WINDOW_MS)
    if (recent.length >= this.#parts.perCaller) return false
    this.#made.delete(key)
    this.#made.set(key, [...recent, nowMs])
    if (this.#made.size > CALLERS_MAX) this.#made.delete(this.#made.keys().next().value!)
    return true
  }
}

function parsed164(number: string): PhoneNumber | undefined {
  return E164.test(number) ? parsePhoneNumberFromString(number) : undefined
}

function refuse(reason: TransferRefusal): TransferVerdict {
  return { kind: 'refused', reason, words: WORDS[reason] }
}
