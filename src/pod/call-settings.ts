// Configuration and agent → what the machine of a call needs to know.
import type { CallSettings } from '../call/state.ts'
import type { Config } from '../config.ts'
import type { PackCall } from '../packs/pack.ts'

/** What a caller hears whose call cannot go on. */
export const SORRY = 'We are sorry, the assistant cannot go on with this call. Please call again.'

/** What the machine needs to know of the configuration and the agent. */
export function callSettings(config: Config, packCall: PackCall): CallSettings {
  const turnDetection = (
    packCall.config as { audio?: { input?: { turnDetection?: Record<string, unknown> | null } } } | undefined
  )?.audio?.input?.turnDetection
  return {
    greeting: packCall.greeting ?? { kind: 'agent' },
    autoRespond: turnDetection !== null && turnDetection?.createResponse !== false,
    bargeIn: turnDetection !== null && turnDetection?.interruptResponse !== false,
    keysInterrupt: packCall.keysInterrupt ?? true,
    transcriptMaxItems: config.call.transcriptMaxItems,
    streamAwaitedMs: Math.min(30_000, config.streamToken.ttlMs),
    callMaxMs: config.call.callMaxMs,
    modelStallMs: config.model.stallMs,
    renewAfterMs: config.model.sessionMaxMs,
    redialMax: 5,
    digitsPauseMs: 1_500,
    closingMaxMs: 15_000,
    fallbackNumber: config.twilio.fallbackNumber,
    sorrySentence: SORRY,
  }
}
