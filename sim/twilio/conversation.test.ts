import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { PlaneStream, WireMessage } from './testing/fake-plane.ts'
import { pairs } from './testing/pair.ts'
import { probeFrame } from './wire/probe.ts'

const pair = pairs(after)
const folder = await mkdtemp(join(tmpdir(), 'carrier-'))
after(() => rm(folder, { recursive: true }))

const ANSWER_AFTER_FRAMES = 10
const LOUD_BYTE = 0x90
const clip = (name: string, ms: number) => ({ name, ulaw: Buffer.alloc(ms * 8, LOUD_BYTE), ms, speechEndMs: ms })

/** A plane that answers 10 silent frames after speech with a second of sound that begins with a probe, and yields to a voice. */
function answering(stream: PlaneStream): (message: WireMessage) => void {
  let hasHeard = false
  let silentFrames = 0
  let isTalking = false
  return (message) => {
    const audio = Buffer.from(message.media?.payload ?? '', 'base64')
    if (audio.length === 0 || audio.subarray(0, 8).toString() === 'VPPROBE1') return
    if (audio[0] === LOUD_BYTE) {
      hasHeard = true
      silentFrames = 0
      if (isTalking) stream.clear()
      isTalking = false
    } else if (hasHeard && ++silentFrames === ANSWER_AFTER_FRAMES) {
      hasHeard = false
      isTalking = true
      stream.say(Buffer.concat([probeFrame(1, 0).ulaw, Buffer.alloc(8000, LOUD_BYTE)]))
    }
  }
}

test('a conversation is timed, recorded as it was played, and witnessed', async () => {
  const witnessPath = join(folder, 'witness.jsonl')
  const recordTo = join(folder, 'call.wav')
  const { plane, sim } = await pair({ witnessPath })
  const ears = new Map<PlaneStream, (message: WireMessage) => void>()
  plane.onStream = (stream) => ears.set(stream, answering(stream))
  plane.onMessage = (stream, message) => ears.get(stream)?.(message)
  const steps = [
    { say: clip('question', 300) },
    { waitForAgent: 'speaking' as const, timeoutMs: 2000 },
    { bargeIn: clip('wait', 200), afterAgentMs: 300 },
    { waitForAgent: 'finished' as const, timeoutMs: 4000 },
    { hangUp: true as const },
  ]
  const report = await sim.placeCall({ caller: { steps, maxMs: 8000 }, probe: true, recordTo, number: 4711 }).done
  assert.deepEqual(report.scriptTimeouts, [])
  assert.equal(report.voiceToVoiceMs.length, 2)
  for (const ms of report.voiceToVoiceMs) assert.ok(ms >= 195 && ms <= 260, `voice to voice ${ms} ms`)
  const first = report.turns[0]!
  assert.ok(first.voiceToAudibleMs! - first.voiceToVoiceMs! >= 15, 'the probe frame is not audible')
  assert.equal(report.bargeIns.length, 1)
  assert.ok(report.bargeIns[0]!.reactionMs! < 30, `${report.bargeIns[0]!.reactionMs} ms`)
  assert.equal(report.probeLatenciesUs.length, 2)
  assert.ok(report.probeLatenciesUs.every((us) => us >= 0 && us < 50_000))
  assert.ok(report.probesSent >= 3)
  assert.ok(report.lateness.count > 50 && report.lateness.p50Ms < 20)
  assertProbes(plane.streams[0]!)
  await assertRecording(recordTo, report.agentPlayedMs)
  await sim.close()
  await assertWitness(witnessPath)
})

function assertProbes(stream: PlaneStream): void {
  let frames = 0
  let probes = 0
  for (const { message } of stream.messages) {
    const audio = Buffer.from(message.media?.payload ?? '', 'base64')
    if (audio.subarray(0, 8).toString() === 'VPPROBE1') {
      probes++
      assert.equal(audio.readUInt32BE(16), 4711)
      assert.equal(audio.readUInt32BE(20), frames)
    }
    if (audio.length > 0) frames++
  }
  assert.ok(probes >= 3)
}

async function assertRecording(path: string, playedMs: number): Promise<void> {
  const wav = await readFile(path)
  assert.equal(wav.toString('latin1', 0, 4), 'RIFF')
  assert.deepEqual([wav.readUInt16LE(22), wav.readUInt32LE(24), wav.readUInt16LE(34)], [2, 8000, 16])
  assert.equal(wav.readUInt32LE(40), wav.length - 44)
  let left = 0
  let right = 0
  for (let at = 44; at < wav.length; at += 4) {
    if (wav.readInt16LE(at) === 15996) left++
    if (wav.readInt16LE(at + 2) === 15996) right++
  }
  assert.ok(left / 8 <= 500 && left / 8 >= 440, `${left / 8} ms of the caller: half a second less the probes in it`)
  assert.ok(Math.abs(right / 8 - (playedMs - 40)) < 1, `${right / 8} ms heard of ${playedMs} ms played`)
}

async function assertWitness(path: string): Promise<void> {
  const lines = (await readFile(path, 'utf8')).trim().split('\n')
  const notes = lines.map((line) => JSON.parse(line) as { t: number; event: string; call: number })
  const events = new Set(notes.map((note) => note.event))
  for (const event of ['call-placed', 'webhook-attempt', 'twiml', 'stream-opened', 'clear-received', 'probe']) {
    assert.ok(events.has(event), event)
  }
  for (const event of ['agent-utterance', 'stream-closed', 'call-ended']) assert.ok(events.has(event), event)
  assert.ok(notes.every((note, i) => note.call === 4711 && (i === 0 || note.t >= notes[i - 1]!.t)))
}

test('forty calls at once keep 50 frames a second each and close without a trace', async () => {
  const { plane, sim } = await pair()
  // How late this process itself was: what it reads late, it stamps late.
  let [lateMs, lastMs] = [0, performance.now()]
  const look = setInterval(() => {
    const nowMs = performance.now()
    lateMs = Math.max(lateMs, nowMs - lastMs - 20)
    lastMs = nowMs
  }, 20)
  const placed = Array.from({ length: 40 }, () => sim.placeCall({ caller: { steps: [{ stayMs: 1000 }], maxMs: 5000 } }))
  const reports = await Promise.all(placed.map((call) => call.done))
  await Promise.all(plane.streams.map((stream) => stream.closed))
  clearInterval(look)
  // A busy machine lets a caller stay longer; the frames are those of the time that the stream was open, whatever it was.
  for (const { messages } of plane.streams) {
    const media = messages.filter(({ message }) => message.event === 'media')
    const openMs = media.at(-1)!.atMs - media[0]!.atMs
    assert.ok(media.length >= 46, `${media.length} frames`)
    const slack = 6 + Math.ceil(lateMs / 20)
    assert.ok(
      Math.abs(media.length - 1 - openMs / 20) <= slack,
      `${media.length} frames in ${openMs} ms, ${lateMs} ms late`,
    )
  }
  assert.ok(reports.every(({ framesSent }) => framesSent >= 46))
  assert.equal(sim.activeCalls, 0)
})
