// Journeys of a call: heard, interrupted, keyed, ended and recognised at the far end.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Plane } from './plane.ts'

const RECOGNISER = '/usr/bin/pocketsphinx_continuous'
const GREETING = "good morning this is the clinic's front desk how can i help you today"
const DECOYS = [
  'goodbye and thank you for calling',
  'please leave a message after the tone',
  'your balance is forty two dollars',
  'the weather will be sunny tomorrow',
]

/** Takes the right channel of a stereo WAV, 8 kHz, and writes it as 16 kHz by repeating each sample (mirror images fill the band that the recogniser expects). */
async function rightAt16k(from: string, to: string, ms: { from: number; to: number }): Promise<void> {
  const wav = await readFile(from)
  const frames = (wav.length - 44) / 4
  const first = Math.min(frames, Math.floor(ms.from * 8))
  const count = Math.min(frames, Math.floor(ms.to * 8)) - first
  const out = Buffer.alloc(44 + count * 4)
  wav.copy(out, 0, 0, 44)
  out.writeUInt32LE(36 + count * 4, 4)
  out.writeUInt16LE(1, 22)
  out.writeUInt32LE(16_000, 24)
  out.writeUInt32LE(32_000, 28)
  out.writeUInt16LE(2, 32)
  out.writeUInt32LE(count * 4, 40)
  for (let i = 0; i < count; i += 1) {
    const sample = wav.readInt16LE(44 + (first + i) * 4 + 2)
    out.writeInt16LE(sample, 44 + i * 4)
    out.writeInt16LE(sample, 44 + i * 4 + 2)
  }
  await writeFile(to, out)
}

/** What an independent recogniser hears in the file, out of the sentences it is given. */
function recognise(file: string, folder: string, sentences: readonly string[]): string {
  assert.ok(existsSync(RECOGNISER), 'pocketsphinx is missing: run `node tools/setup.ts test`')
  const grammar = join(folder, 'heard.gram')
  const rule = sentences.map((sentence) => sentence.toLowerCase()).join(' | ')
  execFileSync('sh', ['-c', 'cat > "$1"', 'sh', grammar], {
    input: `#JSGF V1.0;\ngrammar heard;\npublic <heard> = ${rule};\n`,
  })
  const words = execFileSync(RECOGNISER, ['-infile', file, '-jsgf', grammar, '-logfn', '/dev/null'], {
    encoding: 'utf8',
  })
  return words.trim().split('\n').at(-1)?.trim() ?? ''
}

for (const audio of ['pcmu', 'pcm16'] as const) {
  test(`the greeting is recognised at the far end (${audio})`, async () => {
    const plane = await Plane.open({ env: { MODEL_AUDIO: audio } })
    try {
      const recordTo = join(plane.folder, 'call.wav')
      const listen = {
        steps: [{ waitForAgent: 'finished' as const, timeoutMs: 10_000 }, { hangUp: true as const }],
        maxMs: 12_000,
      }
      const report = await plane.call(listen, { recordTo })
      assert.equal(report.wasDropped, false)
      assert.deepEqual(report.gapsMs, [])
      assert.ok(report.marksPlayed > 0)
      const heard = join(plane.folder, 'heard.wav')
      await rightAt16k(recordTo, heard, { from: 0, to: report.durationMs })
      const said = plane.ended[0]!.call.state.transcript.items.find((item) => item.kind === 'agent')
      const sentence = (said?.kind === 'agent' ? said.text : '').toLowerCase().replace(/[^a-z' ]/g, '')
      assert.equal(sentence, GREETING)
      assert.equal(recognise(heard, plane.folder, [GREETING, ...DECOYS]), GREETING)
      await plane.settled()
    } finally {
      await plane.close()
    }
  })
}

test('[TU2] barge-in clears, truncates at whole heard ms, and the next turn works with a real tool', async () => {
  const plane = await Plane.open()
  try {
    const line = await plane.say('I need an appointment')
    const report = await plane.call({
      steps: [{ bargeIn: line, afterAgentMs: 900 }, { waitForAgent: 'finished', timeoutMs: 12_000 }, { hangUp: true }],
      maxMs: 20_000,
    })
    assert.equal(report.wasDropped, false)
    assert.equal(report.clearsReceived, 1)
    const log = await plane.witness()
    const truncate = log.find(({ event }) => event === 'truncate')!
    assert.equal(truncate.ok, true)
    const ms = Number(truncate.ms)
    assert.ok(Number.isInteger(ms) && ms > 400 && ms <= 2_500, `truncated at ${ms}`)
    assert.ok(log.some(({ event, ok }) => event === 'function_output' && ok !== false))
    const { state } = plane.ended[0]!.call
    assert.equal(state.bargeIns, 1)
    const cut = state.transcript.items.find((item) => item.kind === 'agent')
    assert.ok(cut?.kind === 'agent' && cut.cut && cut.heardMs === ms)
    assert.ok(report.turns.length >= 1)
    await plane.settled()
  } finally {
    await plane.close()
  }
})

test('[TU4] keypad digits reach the model as one message, and it answers', async () => {
  const plane = await Plane.open()
  try {
    const steps = [
      { waitForAgent: 'finished' as const, timeoutMs: 10_000 },
      { dtmf: '12#' },
      { waitForAgent: 'speaking' as const, timeoutMs: 6_000 },
      { hangUp: true as const },
    ]
    const report = await plane.call({ steps, maxMs: 20_000 })
    assert.deepEqual(report.scriptTimeouts, [])
    assert.equal(plane.ended[0]!.call.state.digits, '')
    await plane.settled()
  } finally {
    await plane.close()
  }
})

test('[CM5] an agent that ends the call is heard to the end, then the carrier hangs up; a transfer dials', async () => {
  for (const tool of ['end_call', 'transfer_to_human']) {
    const script = {
      name: 'leaving',
      turns: [{ say: 'Goodbye and thank you for calling us.', call: { name: tool, arguments: {} } }],
    }
    const plane = await Plane.open({ model: { scripts: [{ ...script, matchTools: [tool] }] } })
    try {
      const report = await plane.call({ steps: [{ stayMs: 12_000 }], maxMs: 14_000, isEndedByAgent: true })
      const verbs = report.verbs.map(({ verb }) => verb)
      assert.ok(verbs.includes(tool === 'end_call' ? 'Hangup' : 'Dial'), verbs.join(' '))
      assert.ok(report.agentPlayedMs > 1_000)
      assert.ok(report.agentReceivedMs - report.agentPlayedMs < 200, 'the sentence was cut')
      await plane.settled()
    } finally {
      await plane.close()
    }
  }
})
