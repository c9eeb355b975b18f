// The voices that OpenAI's realtime models are known to have. The list grows without us, and other providers have others: a voice that is
// not in it is told at the start and used all the same.
import { agentsFrom } from './agent-shape.ts'
import type { PackCall } from './pack.ts'

export const KNOWN_VOICES: readonly string[] = [
  ...['alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar'],
]

/** Where a voice stands that is not known, and the voice; nothing is said of a provider's voice object. */
export function unknownVoices(call: PackCall): { setting: string; voice: string }[] {
  const config = (call.config ?? {}) as { voice?: unknown; audio?: { output?: { voice?: unknown } } }
  const named: [string, unknown][] = [
    ['voice', call.voice],
    ['options.config.voice', config.voice],
    ['options.config.audio.output.voice', config.audio?.output?.voice],
    ...agentsFrom([call.agent, ...(call.agents ?? [])]).map((agent): [string, unknown] => [
      `voice of the agent ${agent.name}`,
      (agent as { voice?: unknown }).voice,
    ]),
  ]
  return named.flatMap(([setting, voice]) =>
    typeof voice === 'string' && !KNOWN_VOICES.includes(voice) ? [{ setting, voice }] : [],
  )
}
