// The simulated carrier: places calls, answers REST, keeps a witness log. A peer on real sockets, sharing nothing with the plane.
// E1: CALLS_MAX bounds the calls that are live at once; a further call is an error of the caller of this function.
// E2: close() hangs all calls up, waits for their end at most CLOSE_MS_MAX, and leaves nothing open.

import { Call, type CallPlan } from './call/call.ts'
import type { Exchange } from './call/exchange.ts'
import { WaitingRoom } from './call/queue.ts'
import type { LatenessSummary } from './media/lateness.ts'
import type { CallerScript } from './media/script.ts'
import { Wheel } from './media/wheel.ts'
import type { OutboundAnswer, PlaceCallOptions, TwilioSimOptions } from './options.ts'
import { type OutboundRequest, openRest, type RestServer } from './rest.ts'
import { openWitness } from './witness.ts'

export type { Call } from './call/call.ts'
export type { CallerScript } from './media/script.ts'
export type { PlaceCallOptions } from './options.ts'
export type { CallReport } from './report.ts'
export type { SpokenClip } from './wire/clip-frames.ts'

const CALLS_MAX = 5000
/** Ended calls that REST still knows. */
const ENDED_KEPT_MAX = 2000
const CLOSE_MS_MAX = 5_000
const SILENT_MINUTE: CallerScript = { steps: [{ stayMs: 60_000 }], maxMs: 60_000 }

export class TwilioSim {
  readonly restUrl: string
  private readonly exchange: Exchange
  private readonly rest: RestServer
  private readonly live: Map<string, Call>
  private readonly ended: Map<string, Call>
  private nextNumber = 1
  private closing: Promise<void> | undefined

  constructor(exchange: Exchange, rest: RestServer, live: Map<string, Call>, ended: Map<string, Call>) {
    this.exchange = exchange
    this.rest = rest
    this.live = live
    this.ended = ended
    this.restUrl = rest.url
    rest.onCreate((request) => this.createCall(request))
  }

  /** Live calls. */
  get activeCalls(): number {
    return this.live.size
  }

  /** How late the ticks of all calls of this process were. */
  get lateness(): LatenessSummary {
    return this.exchange.wheel.lateness.summary()
  }

  /** Places an inbound call: the carrier rings the plane. */
  placeCall(options: PlaceCallOptions): Call {
    const { voiceUrl, number, fallbackUrl } = this.exchange.options
    const url = options.voiceUrl ?? voiceUrl
    const callNumber = options.number ?? this.nextNumber++
    return this.begin(
      {
        ...options,
        direction: 'inbound',
        // Each caller has a number of their own, as in life.
        from: options.from ?? `+1500555${String(6 + (callNumber % 9_000)).padStart(4, '0')}`,
        to: number,
        number: callNumber,
        source: { kind: 'url', url, method: 'POST' },
        fallbackUrl,
        ...this.statusPlan(),
      },
      async () => 'answered',
    )
  }

  /** Bridges the head of a queue; its Call SID. */
  dequeue(queueName: string): string | undefined {
    return this.exchange.waitingRoom.dequeue(queueName)
  }

  /** The call with this SID, live or ended a short while ago. */
  call(callSid: string): Call | undefined {
    return this.live.get(callSid) ?? this.ended.get(callSid)
  }

  /** Ends all calls and closes everything. Idempotent; never rejects. */
  close(): Promise<void> {
    this.closing ??= this.shut()
    return this.closing
  }

  private async shut(): Promise<void> {
    const calls = [...this.live.values()]
    for (const call of calls) call.interrupt({ kind: 'hang-up', cause: 'sim-closed' })
    let limit: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      limit = setTimeout(resolve, CLOSE_MS_MAX)
    })
    await Promise.race([Promise.all(calls.map((call) => call.done)), late])
    clearTimeout(limit)
    await this.rest.close()
    await this.exchange.witness.close()
  }

  private statusPlan(): Pick<CallPlan, 'statusTarget' | 'statusEvents'> {
    const { statusCallback, statusCallbackEvents } = this.exchange.options
    return {
      statusEvents: statusCallbackEvents ?? ['completed'],
      statusTarget: statusCallback === undefined ? undefined : { url: statusCallback, method: 'POST' },
    }
  }

  private createCall(request: OutboundRequest): Call {
    const answer: OutboundAnswer = this.exchange.options.outbound?.(request.to) ?? {
      kind: 'answers',
      ringMs: 200,
      caller: SILENT_MINUTE,
    }
    const plan: CallPlan = {
      direction: 'outbound-api',
      from: request.from,
      to: request.to,
      number: this.nextNumber++,
      caller: answer.kind === 'answers' ? answer.caller : SILENT_MINUTE,
      source: request.source,
      fallbackUrl: request.fallbackUrl,
      statusTarget: request.statusTarget,
      statusEvents: request.statusEvents,
    }
    const call: Call = this.begin(plan, async () => {
      call.status = 'ringing'
      if (!(await call.sleep(answer.ringMs))) return 'answered'
      if (answer.kind !== 'answers') return answer.kind
      call.answer()
      return 'answered'
    })
    return call
  }

  private begin(plan: CallPlan, ring: () => Promise<'answered' | 'busy' | 'no-answer'>): Call {
    if (this.closing !== undefined) throw new Error('the simulated carrier is closed')
    if (this.live.size >= CALLS_MAX) throw new Error(`more than ${CALLS_MAX} live calls`)
    const call = new Call(this.exchange, plan)
    this.live.set(call.callSid, call)
    const isTelling = plan.statusTarget !== undefined
    call.record.note('call-placed', { callSid: call.callSid, from: plan.from, to: plan.to, isTelling })
    setImmediate(() => void call.run(ring))
    return call
  }
}

/** Starts a simulated carrier with its REST server. */
export async function startTwilioSim(options: TwilioSimOptions): Promise<TwilioSim> {
  const live = new Map<string, Call>()
  const ended = new Map<string, Call>()
  const exchange: Exchange = {
    options,
    wheel: new Wheel(),
    witness: openWitness(options.witnessPath),
    httpRewrites: options.httpUrlRewrite ?? {},
    wsRewrites: options.wsUrlRewrite ?? {},
    waitingRoom: new WaitingRoom(),
    callOver(call) {
      live.delete(call.callSid)
      ended.set(call.callSid, call)
      if (ended.size > ENDED_KEPT_MAX) ended.delete(ended.keys().next().value!)
    },
  }
  const rest = await openRest(
    options,
    (callSid) => live.get(callSid) ?? ended.get(callSid),
    () => [...ended.values(), ...live.values()],
  )
  return new TwilioSim(exchange, rest, live, ended)
}
