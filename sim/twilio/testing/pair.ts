// A simulated carrier and a small plane, joined for one test file and closed after it.

import type { TwilioSimOptions } from '../options.ts'
import { startTwilioSim, type TwilioSim } from '../sim.ts'
import { FakePlane } from './fake-plane.ts'

export const ACCOUNT_SID = 'AC00000000000000000000000000000001'
export const AUTH_TOKEN = '12345678901234567890123456789012'

type Options = Partial<TwilioSimOptions> | ((plane: FakePlane) => Partial<TwilioSimOptions>)

/** Makes the function that starts pairs; all of them are closed by the hook. */
export function pairs(after: (close: () => Promise<void>) => void) {
  const closers: (() => Promise<void>)[] = []
  after(async () => {
    for (const close of closers) await close()
  })
  return async (more: Options = {}): Promise<{ plane: FakePlane; sim: TwilioSim }> => {
    const plane = await new FakePlane().start()
    plane.onRequest = (seen) => ({ body: seen.path === '/voice' ? plane.connectTwiml('<Hangup/>') : '<Response/>' })
    const sim = await startTwilioSim({
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      number: '+15005550001',
      voiceUrl: `${plane.base}/voice`,
      ...(typeof more === 'function' ? more(plane) : more),
    })
    closers.push(
      () => sim.close(),
      () => plane.close(),
    )
    return { plane, sim }
  }
}
