// A transfer that nobody answers, on two pods that share leases and records: whichever pod is asked, and whatever dies meanwhile, the
// caller comes back to the agent, who is told how it ended, once, and nothing is dialled twice.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RealtimeAgent, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { Script } from '../sim/openai/dialogue/script.ts'
import { openSpeech } from '../sim/speech/speech.ts'
import type { CallerScript } from '../sim/twilio/media/script.ts'
import type { Call as PlacedCall } from '../sim/twilio/sim.ts'
import type { CallSid } from '../src/kit/ids.ts'
import type { CallActions, Pack } from '../src/packs/pack.ts'
import { TwoPods } from './two-pods.ts'

const PERSON = '+15005550009'
const RINGS_MS = 1_500
const SCRIPT: Script = {
  name: 'transfer-return',
  turns: [{ say: 'Hello.' }, { call: { name: 'to_person', arguments: {} }, thenSay: 'Hold on.' }, { say: 'Bye.' }],
}

/** An agent that transfers on request. */
function deskPack(ran: string[], pod: string): Pack {
  const toPerson = tool({
    name: 'to_person',
    description: 'Transfers the caller to a person.',
    parameters: z.object({}),
    execute: async (_none, run) => {
      ran.push(pod)
      return (run as unknown as { context: { call: CallActions } }).context.call.transferCall(PERSON)
    },
  })
  const agent = () => new RealtimeAgent<unknown>({ name: 'Desk', instructions: 'Be brief.', tools: [toPerson] })
  return { name: 'desk', version: '1', openCall: (call) => ({ agent: agent(), context: { call } }) }
}

/** The caller asks for a person, and stays. */
async function asks(): Promise<CallerScript> {
  const speech = await openSpeech()
  const line = await speech.say('A person please', 'rms')
  await speech.close()
  const heard = { waitForAgent: 'finished' as const, timeoutMs: 10_000 }
  return { steps: [heard, { say: line }, { stayMs: 80_000 }], maxMs: 90_000 }
}

type Returned = { pods: TwoPods; call: PlacedCall; ran: string[]; dialled: string[] }

/** A call whose transfer rings at `PERSON`, who does not answer. */
async function ringing(journey: (at: Returned) => Promise<void>): Promise<void> {
  const ran: string[] = []
  const dialled: string[] = []
  const dial = (number: string) => {
    dialled.push(number)
    return { status: 'no-answer' as const, ms: RINGS_MS }
  }
  const env = { TRANSFER_ALLOW: PERSON }
  await TwoPods.with({ pack: (pod) => deskPack(ran, pod), script: SCRIPT, dial, env }, async (pods) => {
    const call = pods.place(await asks())
    await pods.until('the person is dialled', () => dialled.length === 1)
    await journey({ pods, call, ran, dialled })
    call.hangUp()
    await call.done
    await pods.until(
      'the end is written',
      async () => (await pods.records.find(call.callSid as CallSid))?.state === 'ended',
    )
    const row = await pods.records.find(call.callSid as CallSid)
    assert.equal(row?.cause, 'caller-hung-up')
    assert.deepEqual([ran.length, dialled], [1, [PERSON]], 'the transfer was asked for and dialled once')
  })
}

/** How often the model was told in each session how the transfer ended. */
const told = ({ relay }: TwoPods): number[] =>
  relay.sessions.map(
    (events) =>
      events.filter((event) =>
        JSON.stringify(event).includes('The transfer did not come about: that person did not answer'),
      ).length,
  )

const isBack =
  ({ pods, call }: Returned, pod: number) =>
  () =>
    pods.call(pod, call.callSid)?.state.phase.kind === 'live' &&
    pods.items(pod, call.callSid).filter((item) => item.kind === 'agent').length >= 3

describe('a transfer that is not answered', { concurrency: 4 }, () => {
  test('[END-5][P31][HC5] its pod is killed while it rings: the caller comes back to the agent on the other pod', async () => {
    await ringing(async (at) => {
      const { pods, call } = at
      await pods.kill(0)
      await pods.until('the agent speaks to the caller again', isBack(at, 1))
      assert.deepEqual(told(pods), [0, 1])
      assert.deepEqual(pods.call(1, call.callSid)?.state.transfers, ['no-answer'])
    })
  })

  test('[P31][HC5] the other pod is asked while its own lives: one agent has the call', async () => {
    await ringing(async (at) => {
      const { pods, call } = at
      pods.reach(1)
      const owner = () => [0, 1].find((pod) => isBack(at, pod)())
      await pods.until('the agent speaks to the caller again', () => owner() !== undefined)
      // The stream of a call that was placed at the first pod is opened at the second one, which has it not, and asked for again there.
      const [before, ...after] = told(pods)
      assert.deepEqual([before, after.at(-1)], [0, 1])
      const acting = pods.edges.filter(({ pod }) => pod.calls.get(call.callSid as CallSid)?.isActing === true)
      assert.equal(acting.length, 1, 'two pods act for one call')
      assert.deepEqual(pods.call(owner()!, call.callSid)?.state.transfers, ['no-answer'])
    })
  })

  test('[P31][HC5][CK5] the pod that took the caller back is killed before its agent has spoken: the next one is told too', async () => {
    await ringing(async (at) => {
      const { pods, call } = at
      const has = (pod: number) => pods.call(pod, call.callSid)?.state.phase.kind === 'live'
      await pods.until('a pod has the call back', () => told(pods).some((times) => times > 0))
      const first = has(0) ? 0 : 1
      await pods.kill(first)
      await pods.until('the agent speaks to the caller again', isBack(at, 1 - first))
      assert.deepEqual(told(pods), [0, 1, 1])
      assert.deepEqual(pods.call(1 - first, call.callSid)?.state.transfers, ['no-answer'])
    })
  })

  test('[P31][HC5][DK13] its pod answers and dies with the answer on its way: the question that comes again counts once', async () => {
    await ringing(async (at) => {
      const { pods, call } = at
      pods.reach(1)
      await pods.askInVain(0, call.callSid, { DialCallStatus: 'no-answer' })
      await pods.kill(0)
      await pods.until('the agent speaks to the caller again', isBack(at, 1))
      assert.equal(told(pods).at(-1), 1)
      assert.deepEqual(pods.call(1, call.callSid)?.state.transfers, ['no-answer'])
    })
  })
})
