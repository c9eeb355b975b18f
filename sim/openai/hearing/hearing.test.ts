import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSpeech } from '../../speech/speech.ts'
import { nowUs } from '../kit/clock.ts'
import { buzz, silence } from '../test/client.ts'
import { readIncoming } from './append.ts'
import { Ears } from './ears.ts'
import { isProbe, readProbe, writeProbe } from './probe.ts'

const SERVER_VAD = { threshold: 0.5, silenceMs: 500, prefixMs: 300 }

function listen(keepMs = 10_000) {
  const heard: [string, number][] = []
  const probes: { driftFrames: number; latencyUs: number; isFirst: boolean }[] = []
  const ears = new Ears(
    {
      speechStarted: (ms) => heard.push(['started', ms]),
      speechStopped: (ms) => heard.push(['stopped', ms]),
      probe: (seen) => probes.push(seen),
    },
    keepMs,
  )
  ears.configure('audio/pcmu', SERVER_VAD)
  return { ears, heard, probes }
}

test('[A1] appends are read the fast way and the slow way alike', () => {
  const audio = buzz(20)
  const base64 = audio.toString('base64')
  for (const text of [
    `{"type":"input_audio_buffer.append","audio":"${base64}"}`,
    `{"audio":"${base64}","type":"input_audio_buffer.append"}`,
    `{ "event_id":"e", "type":"input_audio_buffer.append", "audio": "${base64}" }`,
    `{"type":"input_audio_buffer.append","audio":"${base64}","event_id":"e"}`,
  ]) {
    const incoming = readIncoming(Buffer.from(text))
    assert.equal(incoming.kind, 'append', text)
    assert.deepEqual(incoming.kind === 'append' && Buffer.from(incoming.audio), audio)
  }
  const large = readIncoming(
    Buffer.from(JSON.stringify({ type: 'input_audio_buffer.append', audio: Buffer.alloc(200_000).toString('base64') })),
  )
  assert.equal(large.kind === 'append' && large.audio.length, 200_000)
})

test('[A3] base64 that breaks its promise, and text that is no JSON, are told apart from events', () => {
  const kind = (text: string) => readIncoming(Buffer.from(text)).kind
  assert.equal(kind('{"type":"input_audio_buffer.append","audio":"abc"}'), 'append-invalid')
  assert.equal(kind('{"type":"input_audio_buffer.append","audio":"ab*?"}'), 'append-invalid')
  assert.equal(kind('{"type":"input_audio_buffer.append","audio":""}'), 'append')
  assert.equal(kind('{"type":"input_audio_buffer.append","audio":"abcd"'), 'not-json')
  assert.equal(kind('{"type":"conversation.item.create","item":{"content":[{"audio":"AAAA"}]}}'), 'event')
  assert.equal(kind(''), 'not-json')
})

test('[B2] the turn is the same whatever the sizes of the appends', () => {
  const sound = Buffer.concat([silence(1000), buzz(700), silence(300), buzz(200), silence(700)])
  for (const size of [160, 320, 37, 801, sound.length]) {
    const { ears, heard } = listen()
    for (let at = 0; at < sound.length; at += size) ears.append(sound.subarray(at, at + size))
    assert.deepEqual(
      heard,
      [
        ['started', 700],
        ['stopped', 2700],
      ],
      `size ${size}`,
    )
  }
})

test('[E1] a click of 40 ms wakes nobody', () => {
  const { ears, heard } = listen()
  ears.append(Buffer.concat([silence(200), buzz(40), silence(2000)]))
  assert.deepEqual(heard, [])
})

test('[E2] each prompt of the speech kit is one turn that ends after its last sound', async () => {
  const speech = await openSpeech()
  for (const clip of speech.callerClips()) {
    const { ears, heard } = listen()
    ears.append(Buffer.concat([silence(400), clip.ulaw, silence(800)]))
    assert.deepEqual(
      heard.map(([event]) => event),
      ['started', 'stopped'],
      clip.name,
    )
    const lateMs = heard[1]![1] - 500 - 400 - clip.speechEndMs
    assert.ok(Math.abs(lateMs) < 250, `${clip.name}: judged to end ${lateMs} ms after its last sound`)
  }
  await speech.close()
})

test('[B3] probes are measured, make no sound, and tell lost and extra frames', () => {
  const { ears, heard, probes } = listen()
  const probe = (frame: number) => writeProbe({ sentUs: nowUs() - 1500, call: 7, frame })
  ears.append(silence(100))
  ears.append(probe(5))
  ears.append(silence(60))
  ears.append(probe(11)) // frames 6 to 8 came; 9 and 10 did not
  ears.append(silence(40))
  ears.append(probe(13)) // 12 came, and one more
  assert.deepEqual(
    probes.map((seen) => seen.driftFrames),
    [0, 2, -1],
  )
  assert.deepEqual(
    probes.map((seen) => seen.isFirst),
    [true, false, false],
  )
  assert.ok(probes.every((seen) => seen.latencyUs >= 1500 && seen.latencyUs < 1_000_000))
  assert.deepEqual(heard, [])
})

test('a probe frame says what was put in, to the bit', () => {
  const frame = writeProbe({ sentUs: 123_456_789_012_345, call: 4_000_000_000, frame: 49 })
  assert.equal(frame.length, 160)
  assert.ok(isProbe(frame, 0))
  assert.deepEqual(readProbe(frame, 0), { sentUs: 123_456_789_012_345, call: 4_000_000_000, frame: 49 })
  assert.ok(!isProbe(silence(20), 0))
})

test('[B5] silence for an hour keeps no more than the prefix, and no audio at all when told so', () => {
  const { ears } = listen()
  for (let i = 0; i < 10_000; i++) ears.append(silence(20))
  assert.ok(ears.take().length <= 500 * 8)
  const deaf = listen(0)
  deaf.ears.append(buzz(2000))
  assert.equal(deaf.ears.take().length, 0)
})
