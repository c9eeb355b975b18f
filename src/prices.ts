// What things cost, from PRICES. Rules:
// PRC1: prices are the operator's: an amount for a million tokens of each kind, for a minute of a model that is billed by time, for a minute of the carrier, and their currency.
// PRC2: what is wrong in them is told by the name of its key, all at once.
import { z } from 'zod'

export const AMOUNT_MAX = 1_000_000
export const CURRENCY = /^[A-Z]{3}$/

const amount = z.number().finite().min(0).max(AMOUNT_MAX)
const AMOUNTS = {
  /** For a million tokens of the kind. */
  inputText: amount.default(0),
  inputAudio: amount.default(0),
  cachedInput: amount.default(0),
  outputText: amount.default(0),
  outputAudio: amount.default(0),
  /** For a minute of a model that is billed by time. */
  modelMinute: amount.default(0),
  /** For a minute of the call. */
  carrierMinute: amount.default(0),
}
const PRICES = z.strictObject({ currency: z.string().regex(CURRENCY), ...AMOUNTS })

/** The keys that are amounts. */
export const AMOUNT_NAMES = Object.keys(AMOUNTS)
const NAMES = ['currency', ...AMOUNT_NAMES]

/** What a call's parts cost. */
export type Prices = z.infer<typeof PRICES>

/** [PRC2] Reads the text of PRICES; `fix` names each key that is wrong. */
export function readPrices(text: string): { kind: 'prices'; prices: Prices } | { kind: 'bad'; fix: string } {
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch {
    return { kind: 'bad', fix: `write JSON, like {"currency":"USD","inputAudio":32}; its keys are ${NAMES.join(', ')}` }
  }
  const read = PRICES.safeParse(found)
  if (read.success) return { kind: 'prices', prices: read.data }
  return { kind: 'bad', fix: [...new Set(read.error.issues.flatMap(fixesOf))].join('; ') }
}

function fixesOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `take out ${JSON.stringify(key)}: the keys are ${NAMES.join(', ')}`)
  const [key] = issue.path
  if (key === undefined) return [`write an object with the keys ${NAMES.join(', ')}`]
  if (key === 'currency') return ['write currency as three capital letters, like "USD"']
  return [`write ${String(key)} as a number from 0 to ${AMOUNT_MAX}`]
}
