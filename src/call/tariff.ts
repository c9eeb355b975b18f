// What a call costs: the one arithmetic of prices, for its record, its budget and its tenant's. Rules:
// TF1: tokens are billed by kind, cached ones once, under their own price; a model that is billed by time costs its minutes.
// TF2: a minute of the carrier that was begun is a minute, as carriers count; a minute of a model is billed by the second.

/** Amounts for a million tokens of each kind, for a minute of a model that is billed by time, and for a minute of the carrier. */
export type Tariff = {
  currency: string
  inputText: number
  inputAudio: number
  cachedInput: number
  outputText: number
  outputAudio: number
  modelMinute: number
  carrierMinute: number
}

/** Tokens as the provider bills them; what is not known counts as none. */
type BilledTokens = {
  inputTokens?: number
  outputTokens?: number
  inputAudioTokens?: number
  outputAudioTokens?: number
  cachedTokens?: number
}

/** What `usage` and `durationMs` cost, in the currency of `prices`. */
export function amountsOf(
  usage: BilledTokens | undefined,
  durationMs: number,
  prices: Tariff,
): { modelAmount: number; carrierAmount: number } {
  const {
    inputTokens = 0,
    outputTokens = 0,
    inputAudioTokens = 0,
    outputAudioTokens = 0,
    cachedTokens = 0,
  } = usage ?? {}
  const inputText = Math.max(0, inputTokens - inputAudioTokens - cachedTokens)
  const outputText = Math.max(0, outputTokens - outputAudioTokens)
  const millionths =
    inputText * prices.inputText +
    inputAudioTokens * prices.inputAudio +
    cachedTokens * prices.cachedInput +
    outputText * prices.outputText +
    outputAudioTokens * prices.outputAudio
  const minutes = durationMs / 60_000
  return {
    modelAmount: millionths / 1_000_000 + minutes * prices.modelMinute,
    carrierAmount: Math.ceil(minutes) * prices.carrierMinute,
  }
}
