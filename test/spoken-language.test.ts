// What the plane itself says when nothing can take a call, through the whole plane, in the language of CALLER_LANGUAGE.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import type { PackCall } from '../src/packs/pack.ts'
import { LANGUAGES } from '../src/phrases/languages.ts'
import { Plane, stay } from './plane.ts'

const script = { name: 'spoken', turns: [{ say: 'Hello.' }] }

test('[CALL-9][P47][PH4] a call that loses its model for good ends with the apology in the language of its callers', async () => {
  const agent = new RealtimeAgent<unknown>({ name: 'Desk', instructions: 'Be brief.' })
  const openCall = (): PackCall => ({ agent, config: { toolChoice: 'sometimes' as never } })
  const pack = { name: 'p', version: '1', openCall }
  await Plane.with({ pack, env: { CALLER_LANGUAGE: 'de' }, model: { scripts: [script] } }, async (plane) => {
    const { verbs } = await plane.call(stay(8_000))
    assert.deepEqual(
      verbs.filter(({ verb }) => verb === 'Say').map(({ detail }) => detail),
      [LANGUAGES.de.phrases.sorry],
    )
  })
})

test('[CALL-9][P47][PH4] a full pod says so in the language of its callers', async () => {
  const agent = new RealtimeAgent<unknown>({ name: 'Desk', instructions: 'Be brief.' })
  const pack = { name: 'p', version: '1', openCall: (): PackCall => ({ agent }) }
  const env = { CALLER_LANGUAGE: 'pt-BR', CALLS_MAX: '1' }
  await Plane.with({ pack, env, model: { scripts: [script] } }, async (plane) => {
    const first = plane.carrier.placeCall({ caller: stay(1_500) })
    await plane.until(() => plane.calls().length === 1)
    const { verbs } = await plane.call(stay(500))
    assert.deepEqual(
      verbs.filter(({ verb }) => verb === 'Say').map(({ detail }) => detail),
      [LANGUAGES.pt.phrases.full],
    )
    await first.done
  })
})
