// Usage and rate limits, as the events show them. Rules:
// U1: cached tokens are a part of the input tokens; text is taken to be cached first.
import type { Ids, ServerEvent } from './events.ts'

/** The `usage` of response.done, from token counts. */
export function usageOf(
  input: { text: number; audio: number; cached: number },
  output: { text: number; audio: number },
): Record<string, unknown> {
  const { text, audio } = input
  const cached = Math.min(input.cached, text + audio)
  const cachedText = Math.min(cached, text)
  return {
    total_tokens: text + audio + output.text + output.audio,
    input_tokens: text + audio,
    output_tokens: output.text + output.audio,
    input_token_details: {
      text_tokens: text,
      audio_tokens: audio,
      image_tokens: 0,
      cached_tokens: cached,
      cached_tokens_details: { text_tokens: cachedText, audio_tokens: cached - cachedText, image_tokens: 0 },
    },
    output_token_details: { text_tokens: output.text, audio_tokens: output.audio },
  }
}

/** rate_limits.updated; the figures are a large account's and do not move. */
export function rateLimits(ids: Ids): ServerEvent {
  const limits = [
    { name: 'requests', limit: 10_000, remaining: 9_999, reset_seconds: 0.006 },
    { name: 'tokens', limit: 2_000_000, remaining: 1_995_904, reset_seconds: 0.123 },
  ]
  return { type: 'rate_limits.updated', event_id: ids.next('event'), rate_limits: limits }
}
