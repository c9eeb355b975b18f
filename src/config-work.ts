// The settings of the work after calls, from the variables' values; what they must have between them is checked here too. Rules:
// CWK1: prices are the operator's: an amount for a million tokens of each kind, for a minute of a model that is billed by time, for a minute of the carrier, and their currency.
// CWK2: a key goes to the host that it belongs to: OPENAI_API_KEY is the analysis' key only where the analysis is asked at the model's own host. For
//      another host ANALYSIS_API_KEY says so by name. Without a key and an address the rules judge, and nothing leaves.
import { z } from 'zod'
import type { Problem, Values } from './variables.ts'

const amount = z.number().finite().min(0).max(1_000_000)
const PRICES = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/),
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
})

const OPENAI_API = 'https://api.openai.com/v1'

/** What a call's parts cost. */
export type Prices = z.infer<typeof PRICES>

/** The part `work` of the configuration. */
export function workOf(values: Values) {
  const { url, key } = analysisPlaceOf(values)
  const kind = values.ANALYSIS ?? (key === undefined && values.ANALYSIS_URL === undefined ? 'rules' : 'model')
  return {
    pollMs: values.WORK_POLL_MS,
    drainMs: values.WORK_DRAIN_MS,
    /** A live call that no pod has saved for so long is looked at by a sweep. */
    silentMs: values.WORK_SILENT_MS,
    analysisMax: values.WORK_ANALYSIS_MAX,
    analysis: {
      kind,
      /** Base of the API, without a slash at its end. */
      url,
      model: values.ANALYSIS_MODEL,
      key,
    },
    prices: pricesOf(values),
    crm: {
      url: values.CRM_WEBHOOK_URL?.href,
      /** The first signs too when the second does: receivers change over in their own time. */
      secrets: [values.CRM_WEBHOOK_SECRET, values.CRM_WEBHOOK_SECRET_SECONDARY].filter((one) => one !== undefined),
      hasKeys: values.CRM_WEBHOOK_KEYS === 'on',
      mayBePrivate: values.CRM_ALLOW_PRIVATE === 'on',
      timeoutMs: values.CRM_TIMEOUT_MS,
    },
    /** Unset: everything is kept. */
    retention: values.RETENTION_DAYS ?? { days: undefined, tenants: {} },
  }
}

type AddProblem = (variable: Problem['variable'] & keyof Values, problem: string, fix: string) => void

/** Adds what is wrong between the prices and what needs them. */
export function checkPrices(values: Values, add: AddProblem): void {
  if (values.TENANT_MONEY_PER_DAY !== undefined && values.PRICES === undefined)
    add('TENANT_MONEY_PER_DAY', 'is set without PRICES', 'set PRICES too: without them nobody knows what a call costs')
  if (values.CALL_BUDGET !== undefined && values.PRICES === undefined)
    add('CALL_BUDGET', 'is set without PRICES', 'set PRICES too: without them nobody knows what a call costs')
  if (values.PRICES !== undefined && pricesOf(values) === undefined)
    add('PRICES', 'is not of the right form', 'write the JSON object that docs/configuration.md shows')
}

/** Adds what is wrong between the variables of the work. */
export function checkWork(values: Values, add: AddProblem): void {
  if (values.ANALYSIS === 'model' && values.ANALYSIS_URL === undefined && analysisPlaceOf(values).key === undefined)
    add('ANALYSIS', 'is "model" without a key for it', 'set ANALYSIS_API_KEY or ANALYSIS_URL, or write rules')
  if (values.CRM_WEBHOOK_URL !== undefined && values.CRM_WEBHOOK_SECRET === undefined)
    add(
      'CRM_WEBHOOK_SECRET',
      'is not set while CRM_WEBHOOK_URL is',
      'set a secret of 16 characters or more that the receiver knows',
    )
  if (values.CRM_WEBHOOK_URL?.protocol === 'http:' && values.CRM_ALLOW_PRIVATE !== 'on')
    add('CRM_WEBHOOK_URL', 'is not https', 'use https://, or CRM_ALLOW_PRIVATE=on for a receiver in your own network')
}

/** [CWK2] Where the analysis is asked, and with which key. */
function analysisPlaceOf(values: Values): { url: string; key: string | undefined } {
  const url = (values.ANALYSIS_URL?.href ?? OPENAI_API).replace(/\/+$/, '')
  const ownHost = values.OPENAI_REALTIME_URL?.host ?? new URL(OPENAI_API).host
  const own = new URL(url).host === ownHost ? values.OPENAI_API_KEY : undefined
  return { url, key: values.ANALYSIS_API_KEY ?? own }
}

/** [CWK1] undefined: not set, or not of the right form. */
function pricesOf({ PRICES: text }: Values): Prices | undefined {
  if (text === undefined) return undefined
  try {
    return PRICES.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
