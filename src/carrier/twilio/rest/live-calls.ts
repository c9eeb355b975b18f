// Live calls at Twilio as call control asks of them, by REST.
import type { CarrierCalls } from '../../../call-control/carrier-calls.ts'
import { stateOfStatus } from '../status-words.ts'
import type { CarrierRest } from './rest.ts'

/** `nextUrl`: the absolute address where Twilio asks what follows, whichever pod answers. */
export function makeLiveCalls(
  rest: Pick<CarrierRest, 'redirectCall' | 'callStatus' | 'load' | 'close'>,
  nextUrl: () => string,
): CarrierCalls {
  return {
    async askNext(callSid) {
      const { kind } = await rest.redirectCall(callSid, nextUrl())
      return { kind }
    },
    async stateOf(callSid) {
      const answer = await rest.callStatus(callSid)
      return answer.kind === 'known' ? stateOfStatus(answer.status) : { kind: answer.kind }
    },
    get load() {
      return rest.load
    },
    close: () => rest.close(),
  }
}
