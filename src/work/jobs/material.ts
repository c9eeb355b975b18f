// What a job may read of a call. The role file makes it from the call's row and checkpoint, since work knows neither. Rules:
// MA1: a call without a readable checkpoint still has its material, with nothing said in it.
import type { EndCause } from '../../call/end-cause.ts'
import type { CallFigures } from '../../call/figures.ts'
import type { CallSid } from '../../kit/ids.ts'

/** Tokens by kind, as the model counted them over the whole call. */
export type TokenUsage = {
  inputTokens: number
  outputTokens: number
  inputAudioTokens: number
  outputAudioTokens: number
  cachedTokens: number
}

/** One thing that was said or done, in order. */
export type Said =
  | { who: 'caller' | 'agent'; text: string }
  | { who: 'tool'; name: string; argumentsText: string; output: string | undefined }

export type CallMaterial = {
  startedAtMs: number
  endedAtMs: number
  cause: EndCause | undefined
  /** It was handed to a person. */
  isTransferred: boolean
  turns: number
  figures: CallFigures
  usage: TokenUsage | undefined
  said: readonly Said[]
}

/** undefined: there is no such call. Rejects with STORE_UNAVAILABLE. */
export type FindMaterial = (callSid: CallSid) => Promise<CallMaterial | undefined>
