// Agents in the shapes in which they are published (shapes/*.txtar): each is loaded as it is and led through a whole call.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, describe, test } from 'node:test'
import type { Script } from '../../sim/openai/dialogue/script.ts'
import { openSpeech } from '../../sim/speech/speech.ts'
import type { TranscriptItem } from '../../src/call/transcript.ts'
import type { Pack } from '../../src/packs/pack.ts'
import { loadUserAgent } from '../../src/packs/user-agent.ts'
import { shapeNames, unpackShape } from './archive.ts'
import { TwoPods } from './two-pods.ts'

const CALLS_AT_ONCE = 12
const ask = (turn: number) => ({ name: 'check_invoice', arguments: { invoiceId: '7', turn } })
/** Longer than the caller listens. */
const STORY =
  'Invoices are a long story, and I will tell you all of it from the very beginning, slowly and in every detail. '
const SCRIPT: Script = {
  name: 'shapes',
  turns: [
    { say: 'Hello.' },
    { call: { name: 'transfer_to_Billing', arguments: {} }, thenSay: 'Billing here.' },
    { call: ask(2), thenSay: 'It is open.' },
    { say: STORY.repeat(2) },
    ...Array.from({ length: 20 }, (_, i) => ({ call: ask(4 + i), thenSay: 'Still open, as I said before.' })),
  ],
}

const speech = await openSpeech()
after(() => speech.close())

/** Greeting, handoff, tool, a barge-in, then one question after the other until the test hangs up. */
async function caller() {
  const line = await speech.say('Yes please', 'rms')
  const finished = { waitForAgent: 'finished' as const, timeoutMs: 10_000 }
  const turn = [{ say: line }, finished]
  return {
    steps: [
      finished,
      ...turn,
      ...turn,
      { say: line },
      { bargeIn: line, afterAgentMs: 600 },
      finished,
      { repeat: 'until end' as const, steps: [{ pauseMs: 100 }, ...turn] },
    ],
    maxMs: 200_000,
  }
}

const answers = (items: readonly TranscriptItem[]): string[] =>
  items.flatMap((item) => (item.kind === 'tool' && item.name === 'check_invoice' && item.output ? [item.output] : []))

/** The barge-in cut the agent, who keeps what was heard of the story. */
const wasCut = (items: readonly TranscriptItem[]): boolean =>
  items.some((item) => item.kind === 'agent' && item.cut && STORY.startsWith(item.text.slice(0, 12)))

async function lead(makePack: () => Promise<Pack>): Promise<void> {
  const pods = await TwoPods.open(makePack, SCRIPT)
  try {
    const call = pods.place(await caller())
    const items = () => pods.items(0, call)
    await pods.until('the handoff', () =>
      items().some((item) => item.kind === 'tool' && item.name === 'transfer_to_Billing' && item.output),
    )
    await pods.until('the tool', () => answers(items()).length > 0)
    await pods.until('the barge-in', () => wasCut(items()))
    await pods.until('an answer after it', () => answers(items()).length > 1)
    await pods.fault({ midResponse: { afterAudioMs: 100, act: { kind: 'drop' }, count: 1 } })
    const before = answers(items()).length
    await pods.until('answers after the lost link', () => answers(items()).length > before + 1)
    await pods.until('one session again', () => pods.model.liveSessions() === 1)
    await pods.move(call)
    const there = () => pods.items(1, call)
    const moved = answers(there()).length
    await pods.until('an answer there', () => answers(there()).length > moved)
    for (const output of answers(there())) assert.match(output, /42/)
    call.hangUp()
    const report = await call.done
    assert.equal(report.wasDropped, false)
    assert.deepEqual(pods.errors(), [])
  } finally {
    await pods.close()
  }
}

const names = await shapeNames()

describe('an agent as it is published', { concurrency: CALLS_AT_ONCE }, () => {
  for (const name of names)
    test(`[A1] [A2] [A8] ${name}`, async () => {
      const shape = await unpackShape(name)
      try {
        await lead(() => loadUserAgent(shape.entry))
      } finally {
        await rm(shape.folder, { recursive: true, force: true })
      }
    })
})

test('[A1] the matrix has the shapes that it is meant to have', () => {
  assert.ok(names.length >= 24, names.join(' '))
})
