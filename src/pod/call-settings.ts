// Configuration and agent → what the machine of a call needs to know.
import type { CallSettings } from '../call/state.ts'
import type { CallShape } from '../call-control/pod-call.ts'
import type { Config } from '../config.ts'
import type { PackCall } from '../packs/pack.ts'
import { languageOf } from '../phrases/language.ts'

/** What a caller hears whose call cannot go on, in the language of CALLER_LANGUAGE (PH4). */
export function sorrySentence({ fleet }: { fleet: Pick<Config['fleet'], 'callerLanguage'> }): string {
  return languageOf(fleet.callerLanguage).phrases.sorry
}

/** [CB3] Without prices nothing is known of what a call costs: the configuration is refused then (config-checks.ts). */
function budgetOf({ call, work }: Config): CallSettings['budget'] {
  const { callBudget: amount } = call
  return amount === undefined || work.prices === undefined ? undefined : { amount, prices: work.prices }
}

/** What the machine needs to know of the configuration and the agent. */
export function callSettings(config: Config, packCall: PackCall): CallSettings {
  return {
    greeting: packCall.greeting ?? { kind: 'agent' },
    // Until the configuration that was sent says otherwise (session.ts).
    autoRespond: true,
    bargeIn: true,
    keysInterrupt: packCall.keysInterrupt ?? true,
    transcriptMaxItems: config.call.transcriptMaxItems,
    streamAwaitedMs: Math.min(30_000, config.streamToken.ttlMs),
    callMaxMs: config.call.callMaxMs,
    silenceAskMs: config.call.silenceAskMs,
    silenceEndMs: config.call.silenceEndMs,
    budget: budgetOf(config),
    modelStallMs: config.model.stallMs,
    turnMaxMs: config.model.turnMaxMs,
    fillerAfterMs: config.model.fillerAfterMs,
    renewAfterMs: config.model.sessionMaxMs,
    redialMax: 5,
    digitsPauseMs: 1_500,
    closingMaxMs: 15_000,
    fallbackNumber: config.twilio.fallbackNumber,
    sorrySentence: sorrySentence(config),
  }
}

/** All that a call is made with of the configuration: one maker for pods and for the bench of long calls. */
export function callShape(config: Config): CallShape {
  const { playoutLeadMs: leadMs, playoutChunkMs: chunkMs, markEveryMs, mediaWatchdogMs } = config.call
  return {
    settingsOf: (packCall) => callSettings(config, packCall),
    playout: { leadMs, chunkMs, markEveryMs },
    mediaWatchdogMs,
  }
}
