// Settings of a call for tests: each test names what matters to it and takes the rest from here.
import type { CallSettings } from '../state.ts'

/** The settings of a call where the caller speaks first, with what a test wants otherwise. */
export function testSettings(changes: Partial<CallSettings> = {}): CallSettings {
  return {
    greeting: { kind: 'caller-first' },
    autoRespond: true,
    bargeIn: true,
    keysInterrupt: true,
    transcriptMaxItems: 50,
    streamAwaitedMs: 30_000,
    callMaxMs: 3_600_000,
    silenceAskMs: 0,
    silenceEndMs: 0,
    budget: undefined,
    modelStallMs: 8_000,
    turnMaxMs: 60_000,
    fillerAfterMs: 3_000,
    renewAfterMs: 3_000_000,
    redialMax: 3,
    digitsPauseMs: 1_500,
    closingMaxMs: 15_000,
    fallbackNumber: undefined,
    sorrySentence: 'Sorry.',
    ...changes,
  }
}
