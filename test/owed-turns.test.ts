// Whatever the model does instead of answering, the caller's turn ends in sound or in a named outcome: whole calls, real sockets.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { handoff } from '@openai/agents'
import { RealtimeAgent, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { BadAnswer } from '../sim/openai/session/bad-answers.ts'
import type { CallReport } from '../sim/twilio/sim.ts'
import type { CallState } from '../src/call/state.ts'
import { comesAbout } from '../src/kit/testing/patience.ts'
import type { Pack, PackAgent, PackCall } from '../src/packs/pack.ts'
import { Plane, type PlaneParts, type WitnessLine } from './plane.ts'

const SCRIPT = {
  name: 'owed',
  matchTools: ['fast'],
  turns: [{ say: 'Hello.' }, ...Array.from({ length: 20 }, () => ({ say: 'Yes, of course, that can be done.' }))],
}
const count = (log: readonly WitnessLine[], name: string): number => log.filter(({ event }) => event === name).length
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** The longest that a caller of these tests waits for an answer. */
const PATIENCE_MS = 60_000

/** Nothing is owed, under way or out. */
const isSettled = ({ owed, wanted, response, tools, phase }: CallState): boolean =>
  phase.kind === 'ended' ||
  (owed === undefined && wanted === undefined && response.kind === 'idle' && tools.length === 0)

/** What a call's tools did. */
type Deeds = string[]

function makeAgent(deeds: Deeds, slowMs = 3_000): PackAgent {
  const parameters = z.object({ town: z.string() })
  const fast = tool({
    name: 'fast',
    description: 'Answers at once.',
    parameters,
    execute: async () => {
      deeds.push('fast')
      return 'It is 14 degrees.'
    },
  })
  const slow = tool({
    name: 'slow',
    description: 'Takes its time.',
    parameters,
    execute: async () => {
      deeds.push('slow')
      await (slowMs === Number.POSITIVE_INFINITY ? new Promise(() => {}) : wait(slowMs))
      return 'It is in stock.'
    },
  })
  const billing = new RealtimeAgent({ name: 'Billing', instructions: 'You know invoices.' })
  return new RealtimeAgent({ name: 'Front', instructions: 'Be brief.', tools: [fast, slow], handoffs: [billing] })
}

function packOf(open: () => PackCall): Pack {
  return { name: 'owed', version: '1', openCall: open }
}

type Journey = {
  /** The turns of the caller, each with what the model does then instead of answering. */
  turns: BadAnswer[][]
  /** How long the caller listens after each turn. */
  listenMs?: number
  slowMs?: number
  pack?: (deeds: Deeds) => Pack
  parts?: PlaneParts
}
type Seen = { plane: Plane; report: CallReport; log: WitnessLine[]; deeds: Deeds; sinceGreeting: WitnessLine[] }

/** One call: greeted well, then one turn after the other. */
async function take(journey: Journey, judge: (seen: Seen) => void | Promise<void>): Promise<void> {
  const { turns, listenMs = 3_000, slowMs, parts = {} } = journey
  const deeds: Deeds = []
  // A slow machine makes no filler, but where a test looks for one.
  const env = { TURN_FILLER_MS: '30000', ...parts.env }
  const pack = journey.pack?.(deeds) ?? packOf(() => ({ agent: makeAgent(deeds, slowMs) }))
  await Plane.with({ pack, ...parts, env, model: { scripts: [SCRIPT], ...parts.model } }, async (plane) => {
    const line = await plane.say('Can you do that for me')
    const spoken = turns.flatMap(() => [{ say: line }, { stayMs: listenMs }])
    const steps = [
      { waitForAgent: 'finished' as const, timeoutMs: 30_000 },
      { stayMs: 800 },
      ...spoken,
      { stayMs: PATIENCE_MS },
    ]
    const placed = plane.carrier.placeCall({ caller: { steps, maxMs: 2 * PATIENCE_MS } })
    await plane.until(() => plane.calls()[0]?.state.transcript.items.some(({ kind }) => kind === 'agent') === true)
    const heard = (): number => plane.calls()[0]?.state.turns ?? Number.POSITIVE_INFINITY
    for (const [i, bad] of turns.entries()) {
      plane.model.faults.badAnswers = structuredClone(bad)
      // A link that is lost takes the end of the words with it: then the bad answer alone tells that they came.
      const isMet = (): boolean => heard() > i || plane.model.faults.badAnswers.length < bad.length
      await comesAbout(isMet, 60_000)
      // The next turn's are set when this one has been listened to.
      if (i + 1 < turns.length) await wait(listenMs - 500)
    }
    // However slow the machine is: the caller leaves when nothing more is to come.
    const listened = wait(listenMs)
    await Promise.race([placed.done, listened])
    await plane.until(() => plane.calls().every(({ state }) => isSettled(state)), PATIENCE_MS)
    placed.hangUp()
    const report = await placed.done
    const log = await plane.witness()
    const greeted = log.findIndex(({ event }) => event === 'response_done')
    await judge({ plane, report, log, deeds, sinceGreeting: log.slice(greeted + 1) })
  })
}

const outcome = (plane: Plane, name: string): Promise<number> =>
  plane.counter(`voice_turn_outcomes_total{outcome="${name}"}`)
const soundAfterBad = (log: readonly WitnessLine[]): boolean => {
  const at = log.findLastIndex(({ event }) => event === 'bad_answer')
  return log.slice(at).some(({ event, audio_ms }) => event === 'response_done' && Number(audio_ms) > 0)
}
const isLogged = (plane: Plane, code: string): boolean => plane.log.some((line) => line.code === code)

describe('a model that', { concurrency: 6 }, () => {
  test('[TOOL-4][P2] calls a tool that no agent has is told so and asked again; the log has the cause', () =>
    take({ turns: [[{ kind: 'unknown-tool' }]] }, async ({ plane, sinceGreeting }) => {
      assert.ok(soundAfterBad(sinceGreeting))
      assert.equal(count(sinceGreeting, 'function_output'), 1)
      assert.ok(isLogged(plane, 'TOOL_UNKNOWN'))
      assert.equal(await outcome(plane, 'answered'), 2)
    }))

  test('[TOOL-4][P3] sends broken arguments is told so and asked again; the tool has not run', () =>
    take({ turns: [[{ kind: 'broken-arguments' }]] }, async ({ plane, sinceGreeting, deeds }) => {
      assert.ok(soundAfterBad(sinceGreeting))
      assert.equal(count(sinceGreeting, 'function_output'), 1)
      assert.deepEqual(deeds, [])
      assert.ok(isLogged(plane, 'TOOL_ARGUMENTS_BROKEN'))
      assert.equal(await outcome(plane, 'answered'), 2)
    }))

  test('[P3] hands off with broken arguments keeps its agent', () =>
    take({ turns: [[{ kind: 'broken-arguments', name: 'transfer_to_Billing' }]] }, ({ sinceGreeting, plane }) => {
      assert.ok(soundAfterBad(sinceGreeting))
      assert.equal(count(sinceGreeting, 'session_updated'), 0, 'the other agent took over')
      assert.ok(isLogged(plane, 'TOOL_ARGUMENTS_BROKEN'))
    }))

  test('[TOOL-5][P3] calls a tool that never returns is told so after its bound', () =>
    take(
      {
        turns: [[{ kind: 'two-tools' }]],
        slowMs: Number.POSITIVE_INFINITY,
        listenMs: 5_000,
        parts: { env: { TOOL_MAX_MS: '2000' } },
      },
      ({ sinceGreeting, plane, deeds }) => {
        assert.deepEqual(deeds.sort(), ['fast', 'slow'])
        assert.ok(soundAfterBad(sinceGreeting))
        assert.equal(count(sinceGreeting, 'function_output'), 2)
        assert.ok(isLogged(plane, 'TOOL_TIMEOUT'))
      },
    ))

  test('[TOOL-5][P3] calls a tool that nobody approves is told so after its bound', () => {
    const refund = tool({
      name: 'fast',
      description: 'Pays back.',
      parameters: z.object({ town: z.string() }),
      needsApproval: true,
      execute: async () => 'paid',
    })
    const agent = () => new RealtimeAgent({ name: 'A', instructions: 'x', tools: [refund] })
    const onSession: PackCall['onSession'] = (session) => session.on('tool_approval_requested', () => {})
    const pack = () => packOf(() => ({ agent: agent(), onSession }))
    return take(
      { turns: [[{ kind: 'slow-arguments', ms: 50 }]], listenMs: 4_500, pack, parts: { env: { TOOL_MAX_MS: '1500' } } },
      ({ sinceGreeting, plane }) => {
        assert.ok(soundAfterBad(sinceGreeting))
        assert.equal(count(sinceGreeting, 'function_output'), 1)
        assert.ok(isLogged(plane, 'TOOL_TIMEOUT'))
      },
    )
  })

  test('[P3] calls tools whose approval or handoff throws is told so at once', async () => {
    const parameters = z.object({ town: z.string() })
    const broken = tool({
      name: 'fast',
      description: 'Needs a decision that cannot be made.',
      parameters,
      needsApproval: () => Promise.reject(new Error('the rule is broken')),
      execute: async () => 'done',
    })
    const other = new RealtimeAgent({ name: 'Other', instructions: 'x' })
    const refusing = handoff(other, {
      onHandoff: () => {
        throw new Error('nobody is there')
      },
    })
    const pack = () =>
      packOf(() => ({
        agent: new RealtimeAgent({ name: 'A', instructions: 'x', tools: [broken], handoffs: [refusing] }),
      }))
    await take({ turns: [[{ kind: 'two-tools' }]], pack }, ({ sinceGreeting, plane }) => {
      assert.ok(soundAfterBad(sinceGreeting))
      assert.equal(count(sinceGreeting, 'function_output'), 2)
      assert.ok(!isLogged(plane, 'TOOL_TIMEOUT'))
      const outputs = plane.ended[0]!.call.state.transcript.items.flatMap((item) =>
        item.kind === 'tool' ? [item.output] : [],
      )
      assert.ok(
        outputs.length === 2 && outputs.every((output) => output?.startsWith('This failed')),
        outputs.join('; '),
      )
    })
  })

  test('[MODEL-4][P4] takes 6.5 s for the arguments of a tool keeps its link, and the tool runs', () =>
    take(
      {
        turns: [[{ kind: 'slow-arguments', ms: 6_500 }]],
        listenMs: 10_000,
        parts: { env: { TURN_FILLER_MS: '3000' } },
      },
      async ({ plane, log, deeds, sinceGreeting }) => {
        assert.equal(count(log, 'session_opened'), 1)
        assert.deepEqual(deeds, ['fast'])
        assert.ok(soundAfterBad(sinceGreeting))
        assert.equal(await outcome(plane, 'answered-after-filler'), 1)
      },
    ))

  test('[P4] is slow with its first sound keeps its link', () =>
    take(
      { turns: [[{ kind: 'slow-audio', ms: 6_000 }]], listenMs: 9_000, parts: { env: { TURN_FILLER_MS: '3000' } } },
      async ({ plane, log, sinceGreeting }) => {
        assert.equal(count(log, 'session_opened'), 1)
        assert.ok(soundAfterBad(sinceGreeting))
        assert.equal(await outcome(plane, 'answered-after-filler'), 1)
      },
    ))

  test('[LIMIT-4][P5] is limited is asked again when it said, in this turn and in a later one', () => {
    const message = 'Rate limit reached for tokens. Please try again in 1.5s. Visit the page of limits.'
    const limited: BadAnswer = { kind: 'failed', code: 'rate_limit_exceeded', message }
    return take({ turns: [[limited], [limited, limited]], listenMs: 6_000 }, async ({ plane, sinceGreeting, log }) => {
      assert.equal(count(log, 'session_opened'), 1)
      const atUs = (event: WitnessLine): number => Number(event.t)
      const failed = sinceGreeting.filter(({ event, status }) => event === 'response_done' && status === 'failed')
      assert.equal(failed.length, 3)
      for (const one of failed) {
        const next = sinceGreeting.find((other) => other.event === 'response_created' && atUs(other) > atUs(one))
        assert.ok(next !== undefined && atUs(next) - atUs(one) >= 1_400_000, 'it was not waited for')
      }
      assert.equal(await outcome(plane, 'answered-after-retry'), 2)
    })
  })

  test('[TALK-5][P6] fails every response gets another link, and then the caller hears a sentence', () =>
    take(
      {
        turns: [Array.from({ length: 50 }, (): BadAnswer => ({ kind: 'failed', code: 'server_error' }))],
        listenMs: 20_000,
      },
      async ({ plane, report, log }) => {
        assert.equal(count(log, 'session_opened'), 3)
        assert.deepEqual(
          report.verbs.slice(-2).map(({ verb }) => verb),
          ['Say', 'Hangup'],
        )
        assert.equal(plane.ended[0]?.cause, 'unanswered')
        assert.equal(await outcome(plane, 'sentence'), 1)
        assert.ok(isLogged(plane, 'TURN_UNANSWERED'))
      },
    ))

  test('[TALK-5][P6] fails every response of three turns: the caller who goes on talking gets a person', () =>
    take(
      {
        turns: [1, 2, 3].map(() =>
          Array.from({ length: 50 }, (): BadAnswer => ({ kind: 'failed', code: 'server_error' })),
        ),
        listenMs: 1_500,
        parts: { env: { FALLBACK_NUMBER: '+15005550009' } },
      },
      async ({ plane, report }) => {
        assert.ok(report.verbs.some(({ verb }) => verb === 'Dial'))
        assert.equal(plane.ended[0]?.cause, 'unanswered')
        assert.equal(await outcome(plane, 'person'), 1)
      },
    ))

  for (const reason of ['max_output_tokens', 'content_filter'] as const) {
    test(`[P7] breaks off for ${reason} in the middle of a sentence is counted, and goes on`, () =>
      take({ turns: [[{ kind: 'incomplete', reason, afterAudioMs: 400 }]] }, async ({ plane, sinceGreeting }) => {
        assert.equal(await plane.counter(`voice_model_errors_total{code="${reason}"}`), 1)
        const sounds = sinceGreeting.filter(({ event, audio_ms }) => event === 'response_done' && Number(audio_ms) > 0)
        assert.equal(sounds.length, 2)
      }))
  }

  test('[P7] is filtered before its first sound is asked again', () =>
    take({ turns: [[{ kind: 'incomplete', reason: 'content_filter' }]] }, async ({ plane, sinceGreeting }) => {
      assert.ok(soundAfterBad(sinceGreeting))
      assert.equal(await plane.counter('voice_model_errors_total{code="content_filter"}'), 1)
      assert.equal(await outcome(plane, 'answered-after-retry'), 1)
    }))

  test('[P8] answers in writing is asked to say it; the history has the words', () =>
    take({ turns: [[{ kind: 'text-only' }]] }, async ({ plane, sinceGreeting }) => {
      assert.ok(soundAfterBad(sinceGreeting))
      const said = plane.ended[0]!.call.state.transcript.items.flatMap((item) =>
        item.kind === 'agent' ? [item.text] : [],
      )
      assert.ok(said.includes('Yes, of course, that can be done.'), said.join('; '))
      assert.equal(await outcome(plane, 'answered-after-retry'), 1)
    }))

  test('[P9] calls two tools, one of them slow, is asked for one response after both', () =>
    take({ turns: [[{ kind: 'two-tools' }]], listenMs: 6_000 }, ({ sinceGreeting, deeds }) => {
      assert.deepEqual(deeds.sort(), ['fast', 'slow'])
      const after = sinceGreeting.filter(({ event }) => event === 'response_created' || event === 'function_output')
      assert.deepEqual(
        after.map(({ event }) => event),
        ['response_created', 'function_output', 'function_output', 'response_created'],
      )
    }))

  test('[P9] calls two tools, one of them too slow, is asked for a response before it', () =>
    take({ turns: [[{ kind: 'two-tools' }]], slowMs: 7_500, listenMs: 10_500 }, ({ sinceGreeting }) => {
      const after = sinceGreeting.filter(({ event }) => event === 'response_created' || event === 'function_output')
      assert.deepEqual(
        after.map(({ event }) => event),
        ['response_created', 'function_output', 'response_created', 'function_output', 'response_created'],
      )
    }))

  test('[P22] loses its link between the end of the words and the response is asked on the next one', () =>
    take({ turns: [[{ kind: 'lost' }]] }, async ({ plane, log, sinceGreeting, report }) => {
      assert.equal(count(log, 'session_opened'), 2)
      assert.ok(soundAfterBad(sinceGreeting))
      assert.equal(report.wasDropped, false)
      // The end of the words may be lost with the link: then the turn becomes due on the next one.
      const counts = await Promise.all(['answered', 'answered-after-redial'].map((name) => outcome(plane, name)))
      assert.equal(counts[0]! + counts[1]!, 2)
    }))

  for (const bad of [
    { kind: 'never-created' },
    { kind: 'silence' },
    { kind: 'cancelled' },
    { kind: 'empty' },
  ] as const) {
    test(`[TALK-4][P4] [P22] says nothing (${bad.kind}) is asked again, and the caller hears that the line lives`, () =>
      take(
        { turns: [[bad]], listenMs: 9_000, parts: { env: { MODEL_STALL_MS: '2000', TURN_FILLER_MS: '1000' } } },
        async ({ plane, sinceGreeting }) => {
          assert.ok(soundAfterBad(sinceGreeting))
          const names = ['answered-after-retry', 'answered-after-redial']
          const counts = await Promise.all(names.map((name) => outcome(plane, name)))
          assert.equal(counts[0]! + counts[1]!, 1)
        },
      ))
  }
})

describe('an agent that ends turns by itself', { concurrency: 4 }, () => {
  const forms: [string, Record<string, unknown>][] = [
    ['snake case', { audio: { input: { turnDetection: { type: 'server_vad', create_response: false } } } }],
    ['the flat form', { turnDetection: { type: 'server_vad', createResponse: false } }],
    ['no detection at all', { audio: { input: { turnDetection: null } } }],
    ['the flat form, none', { turnDetection: null }],
  ]
  for (const [what, config] of forms) {
    test(`[A6] in ${what} is not taken for a model that stalls`, () => {
      const pack = (deeds: Deeds) => packOf(() => ({ agent: makeAgent(deeds), config: config as PackCall['config'] }))
      return Plane.with(
        { pack: pack([]), env: { MODEL_STALL_MS: '1000', TURN_FILLER_MS: '30000' }, model: { scripts: [SCRIPT] } },
        async (plane) => {
          const steps = [
            { waitForAgent: 'finished' as const, timeoutMs: 10_000 },
            { say: await plane.say('Can you do that for me') },
            { stayMs: 4_000 },
            { hangUp: true as const },
          ]
          await plane.call({ steps, maxMs: 30_000 })
          const log = await plane.witness()
          assert.equal(count(log, 'session_opened'), 1)
          assert.equal(count(log, 'response_created'), 1, 'the greeting alone')
          assert.equal(await outcome(plane, 'answered'), 1)
        },
      )
    })
  }

  test('[A6] interrupt_response in snake case: the agent is not cut by the caller’s voice', () => {
    const config = { audio: { input: { turnDetection: { type: 'server_vad', interrupt_response: false } } } }
    const pack = packOf(() => ({ agent: makeAgent([]), config: config as PackCall['config'] }))
    const say = 'Good morning, this is a long greeting that goes on for quite some time, so that you may speak over it.'
    const script = { ...SCRIPT, turns: [{ say }, ...SCRIPT.turns.slice(1)] }
    return Plane.with({ pack, model: { scripts: [script] } }, async (plane) => {
      const steps = [
        { bargeIn: await plane.say('Wait a moment'), afterAgentMs: 800 },
        { stayMs: 8_000 },
        { hangUp: true as const },
      ]
      const report = await plane.call({ steps, maxMs: 40_000 })
      assert.equal(report.clearsReceived, 0)
      assert.equal(plane.ended[0]!.call.state.bargeIns, 0)
      assert.equal(count(await plane.witness(), 'response_created'), 2, 'the words are answered after the greeting')
    })
  })
})
