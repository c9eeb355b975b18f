// One history: what the agent's session shows is what a later model link is told and what a checkpoint holds, whoever has changed it.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RealtimeAgent, type RealtimeSession, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { Script } from '../sim/openai/dialogue/script.ts'
import type { Step } from '../sim/twilio/media/script.ts'
import type { Pack } from '../src/packs/pack.ts'
import type { ClientEvent } from './model-relay.ts'
import { Plane } from './plane.ts'
import { TwoPods, type WireSession } from './two-pods.ts'

const HELLO = { say: 'Hello.' }
const LONG =
  'We are open on Monday, on Tuesday, on Wednesday, on Thursday and on Friday from nine in the morning until six in the evening, and on ' +
  'Saturday from ten in the morning until two in the afternoon, but on Sunday we are closed, as we are on all public holidays.'
const PICTURE = 'data:image/png;base64,AAAA'

const script = (...turns: Script['turns']): Script => ({ name: 'history', turns: [HELLO, ...turns] })
type Sessions = { [pod: string]: RealtimeSession<unknown> }

/** An agent whose sessions the test holds, and a tool that answers when it is let. */
function heldPack(pod: string, sessions: Sessions, answer: () => Promise<string> = async () => 'ok'): Pack {
  const look = tool({ name: 'look', description: 'Looks.', parameters: z.object({}), execute: answer })
  return {
    name: 'held',
    version: '1',
    openCall: () => ({
      agent: new RealtimeAgent<unknown>({ name: 'Desk', instructions: 'You are a desk.', tools: [look] }),
      onSession: (session) => {
        sessions[pod] = session
      },
    }),
  }
}

/** What a session shows, in a form that is the same in every pod. */
const shown = ({ history }: RealtimeSession<unknown>): string[] =>
  history.map((item) => {
    if (item.type !== 'message') return `${item.itemId} ${item.type}`
    const texts = item.content.map((part) =>
      'text' in part ? part.text : 'transcript' in part ? part.transcript : part.type,
    )
    return `${item.itemId} ${item.role} ${'status' in item ? item.status : ''} ${texts.join('|')}`
  })

/** The items that the plane has created in a model session: id, role or type, and text. */
const told = (events: ClientEvent[]): string[] =>
  events.flatMap(({ type, item }) => {
    if (type !== 'conversation.item.create') return []
    const {
      id,
      role,
      content,
      type: kind,
    } = item as { id?: string; role?: string; content?: { text?: string; type: string }[]; type: string }
    return [role === undefined ? kind : `${id} ${role} ${content?.map((part) => part.text ?? part.type).join('|')}`]
  })
const configurations = (events: ClientEvent[]): WireSession[] =>
  events.filter(({ type }) => type === 'session.update').map(({ session }) => session as WireSession)
const spoken = (plane: { say(text: string): ReturnType<Plane['say']> }) => plane.say('Yes please')
const WAIT: Step = { waitForAgent: 'finished', timeoutMs: 15_000 }
const STAY: Step = { stayMs: 80_000 }
const saidIn = (items: readonly { kind: string; text?: string }[], text: string): boolean =>
  items.some((item) => item.kind === 'agent' && item.text === text)

describe('history edited by code', { concurrency: 4 }, () => {
  test('[TALK-7][A4][P23] what was taken out stays out and what was put in is there, in its place: over a lost link, and in another pod', async () => {
    const sessions: Sessions = {}
    const turns = script({ say: 'Noted.' }, { say: 'Thank you.' })
    await TwoPods.with({ pack: (pod) => heldPack(pod, sessions), script: turns }, async (pods) => {
      const call = pods.place({ steps: [WAIT, STAY], maxMs: 90_000 })
      await pods.until('the greeting', () => saidIn(pods.items(0, call.callSid), 'Hello.'))
      await pods.until('the end of it', () => pods.call(0, call.callSid)!.isSettled)
      const session = sessions['pod-0']!
      session.sendMessage('The shop closes at five.')
      await pods.until('the answer', () => saidIn(pods.items(0, call.callSid), 'Noted.'))
      await pods.until('it is shown', () => shown(session).some((line) => line.endsWith('Noted.')))
      const [hello] = session.history
      session.updateHistory((history) => history.filter(({ itemId }) => itemId !== hello!.itemId))
      session.addImage(PICTURE, { triggerResponse: false })
      await pods.until(
        'all of it',
        () => shown(session).at(-1)?.endsWith('input_image') === true && session.history.length === 3,
      )
      await pods.until('the end of that', () => pods.call(0, call.callSid)!.isSettled)
      const before = shown(session)
      assert.deepEqual(
        before.map((line) => line.split(' ').slice(1).join(' ')),
        ['user completed The shop closes at five.', 'assistant completed Noted.', 'user completed input_image'],
      )
      const expected = before.map((line) => line.replace(' completed', ''))

      pods.dropLinks()
      await pods.until('the next link', () => pods.relay.sessions.length === 2 && told(pods.told(1)).length >= 3)
      assert.deepEqual(told(pods.told(1)), expected)
      assert.deepEqual(shown(session), before)
      await pods.until('its checkpoint', async () => (await pods.checkpoint(call.callSid)).includes('input_image'))
      await pods.until('all is said', () => pods.call(0, call.callSid)!.isSettled)

      await pods.kill(0)
      await pods.until(
        'the other pod shows it',
        () => sessions['pod-1'] !== undefined && shown(sessions['pod-1']).length >= 3,
      )
      assert.deepEqual(shown(sessions['pod-1']!).slice(0, 3), before)
      await pods.until('the other pod tells it', () => told(pods.told(2)).length >= 3)
      assert.deepEqual(told(pods.told(2)).slice(0, 3), expected)
      call.hangUp()
      await call.done
    })
  })

  test('[P21] partial changes of the session are merged into what is in force: over a lost link, and in another pod', async () => {
    const sessions: Sessions = {}
    await TwoPods.with({ pack: (pod) => heldPack(pod, sessions), script: script({ say: 'Yes.' }) }, async (pods) => {
      const call = pods.place({ steps: [WAIT, STAY], maxMs: 90_000 })
      await pods.until('the greeting', () => saidIn(pods.items(0, call.callSid), 'Hello.'))
      const { transport } = sessions['pod-0']!
      const before = configurations(pods.told(0))[0]!
      transport.updateSessionConfig({ instructions: 'You are a better desk.' })
      const turnDetection = { threshold: 0.7 }
      transport.sendEvent({
        type: 'session.update',
        session: { type: 'realtime', max_output_tokens: 900, audio: { input: { turn_detection: turnDetection } } },
      })
      const { voice: _voice, ...output } = before.audio.output
      const input = {
        ...before.audio.input,
        turn_detection: { ...(before.audio.input.turn_detection as object), threshold: 0.7 },
      }
      const whole = { ...before, instructions: 'You are a better desk.', max_output_tokens: 900 }
      await pods.until('the changes', () => configurations(pods.told(0)).length === 3)
      assert.deepEqual(configurations(pods.told(0)).at(-1), { ...whole, audio: { input, output } })
      await pods.until('the end of the greeting', () => pods.call(0, call.callSid)!.isSettled)
      pods.dropLinks()
      await pods.until('the next link', () => configurations(pods.told(1)).length === 1)
      const { voice, ...spokenWith } = configurations(pods.told(1))[0]!.audio.output
      assert.deepEqual(spokenWith, output)
      assert.deepEqual(configurations(pods.told(1))[0], { ...whole, audio: { input, output: { ...output, voice } } })
      await pods.until('its checkpoint', async () => (await pods.checkpoint(call.callSid)).includes('"threshold":0.7'))
      await pods.kill(0)
      await pods.until('the other pod', () => configurations(pods.told(2)).length === 1)
      assert.deepEqual(configurations(pods.told(2))[0], configurations(pods.told(1))[0])
      call.hangUp()
      await call.done
    })
  })
})

describe('between two links', { concurrency: 4 }, () => {
  test('[P23] keys that were pressed are told to the next link, once', async () => {
    await Plane.with(
      { pack: heldPack('pod', {}), hasRelay: true, model: { scripts: [script({ say: 'I see.' })] } },
      async (plane) => {
        const call = plane.carrier.placeCall({ caller: { steps: [WAIT, { dtmf: '42' }, WAIT, STAY], maxMs: 90_000 } })
        const items = () => plane.calls()[0]?.state.transcript.items ?? []
        await plane.until(() => saidIn(items(), 'I see.') && plane.calls()[0]!.isSettled)
        await plane.act({ kind: 'drop' })
        await plane.until(() => plane.relay!.sessions.length === 2 && told(plane.relay!.sessions[1]!).length >= 3)
        const keys = 'keys_1 user The caller pressed these keys on the telephone: 42'
        const texts = told(plane.relay!.sessions[1]!).map((line) =>
          line === keys ? line : line.split(' ').slice(1).join(' '),
        )
        assert.deepEqual(texts, ['assistant Hello.', keys, 'assistant I see.'])
        call.hangUp()
        await call.done
      },
    )
  })

  test('[P23] the answer of a tool that came between two failed dials is told once, in its place', async () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const turns = script({ call: { name: 'look', arguments: {} }, thenSay: 'There.' })
    const pack = heldPack('pod', {}, () => promise)
    await Plane.with({ pack, hasRelay: true, model: { scripts: [turns] } }, async (plane) => {
      const steps: Step[] = [WAIT, { say: await spoken(plane) }, STAY]
      const call = plane.carrier.placeCall({ caller: { steps, maxMs: 90_000 } })
      const items = () => plane.calls()[0]?.state.transcript.items ?? []
      await plane.until(() => items().some(({ kind }) => kind === 'tool'))
      plane.model.faults.refuse = { status: 503, code: 'busy', count: 2 }
      await plane.act({ kind: 'drop' })
      await plane.until(() => {
        const model = plane.calls()[0]!.state.model
        return model.kind === 'lost' && model.attempt >= 2
      })
      resolve('a key')
      await plane.until(() => saidIn(items(), 'There.'))
      const served = plane.relay!.sessions.filter((session) => told(session).length > 0)
      assert.deepEqual(told(served.at(-1)!).slice(-2), ['function_call', 'function_call_output'])
      assert.equal(served.flatMap(told).filter((line) => line === 'function_call_output').length, 1)
      call.hangUp()
      await call.done
    })
  })
})

describe('what the caller heard', { concurrency: 4 }, () => {
  test('[A5] an answer that was cut while it was still made stays cut: in the session, in the transcript and for tools', async () => {
    const sessions: Sessions = {}
    const turns = script({ say: LONG }, { say: 'As you like.' })
    await Plane.with({ pack: heldPack('pod', sessions), model: { scripts: [turns], speed: 2 } }, async (plane) => {
      const line = await spoken(plane)
      const steps: Step[] = [WAIT, { say: line }, { bargeIn: line, afterAgentMs: 2_500 }, WAIT, STAY]
      const call = plane.carrier.placeCall({ caller: { steps, maxMs: 90_000 } })
      const items = () => plane.calls()[0]?.state.transcript.items ?? []
      await plane.until(() => saidIn(items(), 'As you like.'), 40_000)
      const cut = items().find((item) => item.kind === 'agent' && item.cut)
      assert.ok(cut?.kind === 'agent' && cut.text !== '' && cut.text.length < LONG.length / 2, JSON.stringify(cut))
      const session = sessions.pod!
      await plane.until(() => shown(session).some((text) => text.endsWith('As you like.')))
      assert.ok(shown(session).includes(`${cut.id} assistant incomplete ${cut.text}`), shown(session).join('; '))
      const { history } = session.context.context as { history: typeof session.history }
      assert.ok(shown({ history } as never).includes(`${cut.id} assistant incomplete ${cut.text}`))
      await plane.act({ kind: 'drop' })
      await plane.until(() => plane.calls()[0]?.state.model.kind === 'ready' && plane.model.liveSessions() === 1)
      call.hangUp()
      await call.done
    })
  })

  test('[P20] a cut of speech that a lost link has made: the new link is told what was heard, and not to cut what it has not', async () => {
    const turns = script({ say: LONG }, { say: 'As you like.' })
    const model = { scripts: [turns], speed: 20 }
    await Plane.with({ pack: heldPack('pod', {}), hasRelay: true, model }, async (plane) => {
      const line = await spoken(plane)
      const steps: Step[] = [WAIT, { say: line }, { bargeIn: line, afterAgentMs: 6_000 }, WAIT, STAY]
      const call = plane.carrier.placeCall({ caller: { steps, maxMs: 90_000 } })
      const live = () => plane.calls()[0]
      await plane.until(() => saidIn(live()?.state.transcript.items ?? [], LONG) && live()!.isSettled, 20_000)
      assert.ok(live()!.remainingMs > 3_000, 'it is still heard')
      await plane.act({ kind: 'drop' })
      const answered = (): boolean => {
        const { items } = live()!.state.transcript
        const at = items.findIndex((item) => item.kind === 'agent' && item.cut)
        return at >= 0 && items.slice(at + 1).some((item) => item.kind === 'agent' && item.text !== '')
      }
      await plane.until(answered, 40_000)
      const cut = live()!.state.transcript.items.find((item) => item.kind === 'agent' && item.cut)
      assert.ok(cut?.kind === 'agent' && cut.text !== '' && cut.text.length < LONG.length, JSON.stringify(cut))
      const second = plane.relay!.sessions[1]!
      assert.equal(second.filter(({ type }) => type === 'conversation.item.truncate').length, 0)
      assert.deepEqual(
        second.filter(({ type }) => type === 'conversation.item.delete').map(({ item_id }) => item_id),
        [cut.id],
      )
      const versions = told(second).filter((text) => text.startsWith(`${cut.id} `))
      assert.deepEqual(versions, [`${cut.id} assistant ${LONG}`, `${cut.id} assistant ${cut.text}`])
      call.hangUp()
      await call.done
    })
  })
})
