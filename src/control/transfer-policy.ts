// Where an agent may transfer a caller to: the plane's word, not the agent's. Rules:
// TRP1: a target is a number in E.164, or a SIP address or client that the operator named. Anything else is refused.
// TRP2: a number must be one that exists by its country's plan, and of a kind that costs what a call costs: premium, shared-cost, satellite,
//      personal and pager numbers are refused unless the operator named their prefix. The exchange 976 of each area of country code 1 is
//      premium too, which the plan that we read does not say.
// TRP7: what was judged is what is dialled: a number as its country's plan writes it, without a trunk zero that stood in it.
// TRP3: its country must be allowed: by TRANSFER_ALLOW, else it is the country of our own number in this call or of one in the limits file.
// TRP4: FALLBACK_NUMBER is the operator's own word and always allowed.
// TRP5: a far party is transferred at most `perCaller` times in WINDOW_MS, as this pod knows; at most CALLERS_MAX are remembered, the oldest
//      leave first. An address or a number that identifies nobody (IDN4) counts likewise, and all who are withheld share `withheld` in each tenant.
// TRP6: a refusal is a value, with words that the agent may be told; nothing is dialled, and nothing that an agent gives throws.
import { type PhoneNumber, parsePhoneNumberFromString } from 'libphonenumber-js/max'
import type { FarParty } from '../call/identity.ts'
import type { Clock } from '../kit/clock.ts'

export const WINDOW_MS = 86_400_000
export const CALLERS_MAX = 20_000
/** Own numbers whose countries are looked at; numbers that begin alike are of one country. */
const SAMPLES_MAX = 1_000
const SAMPLE_CHARACTERS = 6
/** Longer than any address that is allowed. */
const TARGET_MAX_CHARACTERS = 500

const E164 = /^\+[1-9]\d{6,14}$/
const SIP =
  /^sips?:[\w.+%-]{1,64}@(?<host>[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?)(?::\d{1,5})?(?:;transport=(?:udp|tcp|tls))?$/i
/** [TRP2] Area code, exchange 976 and four digits. */
const PREMIUM_EXCHANGE = /^\+1\d{3}976\d{4}$/
const USUAL_KINDS: ReadonlySet<string> = new Set(['FIXED_LINE', 'MOBILE', 'FIXED_LINE_OR_MOBILE', 'TOLL_FREE', 'VOIP'])

/** What the operator allows (TRANSFER_ALLOW). `isAnyCountry`: every country, of usual kinds of numbers. */
export type TransferRule = {
  isAnyCountry: boolean
  countries: readonly string[]
  prefixes: readonly string[]
  hosts: readonly string[]
  clients: readonly string[]
}
type TransferRefusal = 'not-a-target' | 'no-such-number' | 'kind' | 'country' | 'host' | 'client' | 'too-often'
type TransferVerdict = { kind: 'allowed'; to: string } | { kind: 'refused'; reason: TransferRefusal; words: string }

/** The call that is to be transferred. `writtenParty`: what its far end is counted as (IDN4); `ownNumber`: ours in the call. */
export type TransferCall = {
  tenant: string
  farParty: FarParty
  writtenParty: string | undefined
  ownNumber: string
}

type TransferPolicyParts = {
  /** undefined: by our own numbers (TRP3). */
  rule: TransferRule | undefined
  ownNumbers: readonly string[]
  fallbackNumber: string | undefined
  perCaller: number
  /** Transfers of all callers of a tenant together who are withheld. */
  withheld: number
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

  /** Judges a transfer of the call to `to`, whatever an agent gave as that; one that is allowed counts. */
  judge(call: TransferCall, to: unknown): TransferVerdict {
    if (typeof to !== 'string' || to.length > TARGET_MAX_CHARACTERS) return refuse('not-a-target')
    const verdict = this.#target(to.trim(), call.ownNumber)
    if (verdict.kind === 'refused') return verdict
    return this.#count(this.#boundsOf(call)) ? verdict : refuse('too-often')
  }

  /** [TRP5] */
  #boundsOf({ tenant, farParty, writtenParty }: TransferCall): Bound[] {
    const { perCaller, withheld } = this.#parts
    if (farParty.kind === 'known') return [{ key: farParty.number, max: perCaller }]
    const all = { key: `withheld ${tenant}`, max: withheld }
    return writtenParty === undefined ? [all] : [{ key: writtenParty, max: perCaller }, all]
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
    if (PREMIUM_EXCHANGE.test(parsed.number)) return refuse('kind')
    const { country } = parsed
    const isAllowed =
      rule !== undefined
        ? rule.isAnyCountry || rule.countries.includes(country)
        : parsed164(ownNumber)?.country === country || this.#countries().has(country)
    return isAllowed ? { kind: 'allowed', to: parsed.number } : refuse('country')
  }

  #countries(): ReadonlySet<string> {
    if (this.#ownCountries !== undefined) return this.#ownCountries
    const samples = new Map(this.#parts.ownNumbers.map((number) => [number.slice(0, SAMPLE_CHARACTERS), number]))
    const countries = [...samples.values()].slice(0, SAMPLES_MAX).map((number) => parsed164(number)?.country)
    this.#ownCountries = new Set(countries.filter((country) => country !== undefined))
    return this.#ownCountries
  }

  /** [TRP5] Counts for all of `bounds`, or for none when one is reached. */
  #count(bounds: readonly Bound[]): boolean {
    const nowMs = this.#parts.clock.monotonicMs()
    const recent = bounds.map(({ key }) => (this.#made.get(key) ?? []).filter((atMs) => atMs > nowMs - WINDOW_MS))
    if (bounds.some(({ max }, at) => recent[at]!.length >= max)) return false
    for (const [at, { key }] of bounds.entries()) {
      this.#made.delete(key)
      this.#made.set(key, [...recent[at]!, nowMs])
    }
    while (this.#made.size > CALLERS_MAX) this.#made.delete(this.#made.keys().next().value!)
    return true
  }
}

type Bound = { key: string; max: number }

function parsed164(number: string): PhoneNumber | undefined {
  return E164.test(number) ? parsePhoneNumberFromString(number) : undefined
}

function refuse(reason: TransferRefusal): TransferVerdict {
  return { kind: 'refused', reason, words: WORDS[reason] }
}
