// A meter that counts nothing. It is written out, so that a method that CallMeter gains does not compile until it is here.
import type { CallMeter } from '../meter.ts'

const nothing = (): void => {}

export const NO_METER: CallMeter = {
  frameReceived: nothing,
  framesSent: nothing,
  frameDropped: nothing,
  added: nothing,
  moment: nothing,
  toolStarted: nothing,
  toolEnded: nothing,
  count: nothing,
  ended: nothing,
}
