// How a worker calls back: the carrier's REST, the leases, and the plane's word on numbers. Rules:
// CBL1: nobody is dialled while callers wait for a place, nor into what is kept for inbound calls: an outbound call that is answered must find one.
//      Whether it does is for admission to say when it is answered (DK8).
// CBL2: a number is judged as a transfer to it would be (TRP2, TRP3), and as it is written (TRP7): whoever withholds nothing may still call from a premium number.
import { partyOf } from '../call/identity.ts'
import { Links } from '../carrier/twilio/answers/links.ts'
import type { CarrierRest } from '../carrier/twilio/rest/rest.ts'
import type { Config } from '../config.ts'
import type { LeaseStore } from '../control/ports.ts'
import { TransferPolicy } from '../control/transfer-policy.ts'
import { systemClock } from '../kit/clock.ts'
import type { CallBackLine } from '../work/jobs/call-back.ts'
import { limitsOf } from './pod-settings.ts'

/** How long the phone of a person who is called back rings. */
const RING_SECONDS = 30

/** Whether the plane may call `number` from a call at `ownNumber`. [CBL2] */
export function callJudge(
  config: Config,
  ownNumbers: readonly string[],
): (number: string, ownNumber: string) => boolean {
  const policy = new TransferPolicy({
    rule: config.call.transferAllow,
    ownNumbers,
    fallbackNumber: undefined,
    perCaller: Number.POSITIVE_INFINITY,
    withheld: Number.POSITIVE_INFINITY,
    clock: systemClock,
  })
  return (number, ownNumber) => {
    const call = { tenant: '', farParty: partyOf(number), writtenParty: undefined, ownNumber }
    const verdict = policy.judge(call, number)
    return verdict.kind === 'allowed' && verdict.to === number
  }
}

/** The line of a worker. `leases` undefined: nobody knows how full the cell is, and admission alone decides. */
export function makeCallBackLine(config: Config, rest: CarrierRest, leases: LeaseStore | undefined): CallBackLine {
  const limits = limitsOf(config)
  const links = new Links(() => config.http.publicBaseUrl)
  return {
    async dial({ to, from, language }) {
      const urls = { url: links.callBack(language), statusUrl: links.status() }
      const made = await rest.createCall({ to, from, ...urls, ringSeconds: RING_SECONDS })
      if (made.kind === 'created') return { kind: 'made', callSid: made.callSid }
      if (made.kind === 'unknown') return made
      const { status, code, reason } = made
      // Credentials and rates are mended by a person or by time; what is wrong with the call is not.
      const isForGood = status !== 429 && status !== 401 && status !== 403
      return { kind: 'refused', reason: `${code ?? status} ${reason}`, isForGood }
    },
    async status(callSid) {
      const told = await rest.callStatus(callSid)
      if (told.kind === 'known') return told
      return { kind: told.kind === 'unknown' ? 'gone' : 'away' }
    },
    async find(ends) {
      const found = await rest.findCalls(ends)
      return found.kind === 'found' ? found : { kind: 'away' }
    },
    async hasRoom() {
      if (leases === undefined) return true
      const usage = await leases.usage().catch(() => undefined)
      if (usage === undefined || usage.isRecovering || usage.queued > 0) return false
      return usage.inUse < usage.limit - limits.cell.reserve.inbound
    },
    mayCall: callJudge(config, limits.ownNumbers),
  }
}
