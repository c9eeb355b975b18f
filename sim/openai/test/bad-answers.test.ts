// Responses that do something else than answer: each kind, on the socket, as the service would send it.
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { NO_FAULTS } from '../options.ts'
import { type BadAnswer, nextBadAnswer } from '../session/bad-answers.ts'
import { startOpenAiSim } from '../sim.ts'
import { connect, type Seen, type TestClient } from './client.ts'

const sim = await startOpenAiSim({ thinkMs: 10, speed: 20 })
after(() => sim.close())
beforeEach(() => Object.assign(sim.faults, structuredClone(NO_FAULTS)))

const TOOLS = ['look_up', 'book'].map((name) => ({
  type: 'function',
  name,
  parameters: { type: 'object', properties: { town: { type: 'string' } }, required: ['town'] },
}))

async function order(body: unknown): Promise<number> {
  return (await fetch(`${sim.controlUrl}/faults`, { method: 'POST', body: JSON.stringify(body) })).status
}

/** The session's next response is bad in this way; the client that asked for it. */
async function asked(bad: BadAnswer): Promise<TestClient> {
  assert.equal(await order({ set: { badAnswers: [bad] } }), 200)
  const client = await connect(sim.url)
  client.send({ type: 'session.update', session: { type: 'realtime', tools: TOOLS } })
  await client.next('session.updated')
  client.send({ type: 'response.create' })
  return client
}
const callsIn = (response: Seen): [string, string][] =>
  (response.response.output as { type: string; name: string; arguments: string }[])
    .filter(({ type }) => type === 'function_call')
    .map(({ name, arguments: args }) => [name, args])
const hasSound = (client: TestClient): boolean =>
  client.events.some(({ type }) => type === 'response.output_audio.delta')

test('[BA3] tools: unknown, with broken arguments, two at once', async () => {
  const wanted: [BadAnswer, [string, string][]][] = [
    [{ kind: 'unknown-tool' }, [['a_tool_that_nobody_has', '{}']]],
    [{ kind: 'broken-arguments' }, [['look_up', '{"town":"Ber']]],
    [{ kind: 'broken-arguments', name: 'book' }, [['book', '{"town":"Ber']]],
    [
      { kind: 'two-tools' },
      [
        ['look_up', '{"town":"text"}'],
        ['book', '{"town":"text"}'],
      ],
    ],
  ]
  for (const [bad, calls] of wanted) {
    const client = await asked(bad)
    const done = await client.next('response.done')
    assert.equal(done.response.status, 'completed')
    assert.deepEqual(
      callsIn(done).map(([name]) => name),
      calls.map(([name]) => name),
    )
    if (bad.kind === 'broken-arguments') assert.deepEqual(callsIn(done), calls)
    await client.close()
  }
})

test('[BA1] arguments that take their time come in many pieces, and whole', async () => {
  const startedMs = performance.now()
  const client = await asked({ kind: 'slow-arguments', ms: 400 })
  const done = await client.next('response.done')
  assert.ok(performance.now() - startedMs >= 390)
  const pieces = client.events.filter(({ type }) => type === 'response.function_call_arguments.delta')
  assert.ok(pieces.length > 5)
  assert.equal(pieces.map(({ delta }) => delta).join(''), callsIn(done)[0]?.[1])
  await client.close()
})

test('[BA1] failed, incomplete, cancelled and empty responses end without a sound', async () => {
  const ends: [BadAnswer, string, string | undefined][] = [
    [{ kind: 'failed', code: 'rate_limit_exceeded', message: 'try again in 1.5s' }, 'failed', undefined],
    [{ kind: 'failed', code: 'server_error' }, 'failed', undefined],
    [{ kind: 'incomplete', reason: 'content_filter' }, 'incomplete', 'content_filter'],
    [{ kind: 'cancelled' }, 'cancelled', undefined],
    [{ kind: 'empty' }, 'completed', undefined],
  ]
  for (const [bad, status, reason] of ends) {
    const client = await asked(bad)
    const { response } = await client.next('response.done')
    assert.deepEqual([response.status, response.status_details?.reason], [status, reason])
    if (bad.kind === 'failed') {
      assert.equal(response.status_details.error.code, bad.code)
      if (bad.message !== undefined) assert.equal(response.status_details.error.message, bad.message)
    }
    assert.deepEqual([response.output, hasSound(client)], [[], false])
    client.send({ type: 'response.create' })
    assert.equal((await client.next('response.done')).response.status, 'completed')
    assert.ok(hasSound(client), 'the next one is good')
    await client.close()
  }
})

test('[BA1] speech that breaks off, writing in place of speech, and speech that comes late', async () => {
  const broken = await asked({ kind: 'incomplete', reason: 'max_output_tokens', afterAudioMs: 300 })
  const { response } = await broken.next('response.done')
  assert.deepEqual([response.status, response.output[0].status], ['incomplete', 'incomplete'])
  assert.ok(hasSound(broken))
  await broken.close()
  const written = await asked({ kind: 'text-only' })
  const done = await written.next('response.done')
  assert.equal(done.response.output[0].content[0].type, 'output_text')
  assert.equal(hasSound(written), false)
  await written.close()
  const startedMs = performance.now()
  const late = await asked({ kind: 'slow-audio', ms: 500 })
  await late.next('response.output_audio.delta')
  assert.ok(performance.now() - startedMs >= 490)
  await late.close()
})

test('[BA1] a response that is created and says nothing, one that is not created, one that costs the socket', async () => {
  const silent = await asked({ kind: 'silence' })
  await silent.next('response.created')
  silent.send({ type: 'response.cancel' })
  assert.equal((await silent.next('response.done')).response.status, 'cancelled')
  await silent.close()
  const never = await asked({ kind: 'never-created' })
  never.send({ type: 'response.create' })
  await never.next('response.done')
  assert.equal(never.events.filter(({ type }) => type === 'response.created').length, 1)
  await never.close()
  const lost = await asked({ kind: 'lost' })
  await lost.closed
  assert.ok(!lost.events.some(({ type }) => type === 'response.created'))
})

test('[BA2] the same seed makes the same row of bad answers, about as many as asked for, of every kind', () => {
  const row = (seed: number): string[] => {
    const faults = { badAnswers: [], randomAnswers: { share: 0.5, seed } }
    return Array.from({ length: 2_000 }, () => nextBadAnswer(faults)?.kind ?? 'good')
  }
  assert.deepEqual(row(7), row(7))
  assert.notDeepEqual(row(7), row(8))
  const good = row(7).filter((kind) => kind === 'good').length
  assert.ok(good > 900 && good < 1_100, `${good} of 2000 are good`)
  assert.equal(new Set(row(7)).size, 14, 'every kind, and good')
})

test('[Q2] a bad answer of unknown kind is refused, and nothing is changed', async () => {
  assert.equal(await order({ set: { badAnswers: [{ kind: 'odd' }] } }), 400)
  assert.equal(await order({ set: { badAnswers: [{ kind: 'slow-audio' }] } }), 400)
  assert.equal(await order({ set: { randomAnswers: { share: 2, seed: 1 } } }), 400)
  assert.deepEqual([sim.faults.badAnswers, sim.faults.randomAnswers], [[], null])
})
