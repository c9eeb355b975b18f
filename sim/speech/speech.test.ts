import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { after, test } from 'node:test'
import { rootMeanSquare } from './loudness.ts'
import { openSpeech } from './speech.ts'
import { writePcmWav } from './wav.ts'

const folder = await mkdtemp(join(tmpdir(), 'speech-test-'))
const cacheDir = join(folder, 'cache')
const humanDir = join(folder, 'none')
after(() => rm(folder, { recursive: true, force: true }))

test('[K1] without recordings the caller still has eight varied audible prompts of one to five seconds', async () => {
  const speech = await openSpeech({ cacheDir, humanDir })
  try {
    const clips = speech.callerClips()
    assert.ok(clips.length >= 8)
    assert.equal(new Set(clips.map((clip) => clip.text)).size, clips.length)
    for (const clip of clips) {
      assert.equal(clip.source, 'synthesised')
      assert.ok(clip.ms >= 1000 && clip.ms <= 5000, `${clip.name} lasts ${clip.ms} ms`)
      assert.ok(clip.speechEndMs > 500 && clip.speechEndMs <= clip.ms, `${clip.name} ends at ${clip.speechEndMs} ms`)
      assert.ok(rootMeanSquare(clip.ulaw, 0, clip.speechEndMs * 8) > 500, `${clip.name} is audible`)
    }
  } finally {
    await speech.close()
  }
})

test('[K2] the same words are made once, and a second kit reads them from disk', async () => {
  const speech = await openSpeech({ cacheDir, humanDir })
  const [one, two] = await Promise.all([speech.say('The door is open.'), speech.say('The door is open.')])
  assert.equal(one, two)
  await speech.close()
  const files = (await readdir(cacheDir)).length
  const other = await openSpeech({ cacheDir, humanDir })
  const started = performance.now()
  assert.deepEqual((await other.say('The door is open.')).ulaw, one.ulaw)
  assert.ok(performance.now() - started < 250)
  assert.equal((await readdir(cacheDir)).length, files)
  await other.close()
})

test('synthesis does not stall the event loop of the caller', async () => {
  const speech = await openSpeech({ cacheDir, humanDir })
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  await speech.say(
    'This sentence is long enough to take a while, and nobody has asked for it to be spoken before.',
    'rms',
  )
  delay.disable()
  assert.ok(delay.max / 1e6 < 100, `the loop stood still for ${delay.max / 1e6} ms`)
  await speech.close()
})

test('what cannot be said is refused, and a closed kit says nothing', async () => {
  const speech = await openSpeech({ cacheDir, humanDir })
  await assert.rejects(speech.say('  '), /no text/)
  await assert.rejects(speech.say('x'.repeat(3000)), /2000/)
  const owed = speech.say('These words will never be heard by anyone.')
  await speech.close()
  await assert.rejects(owed, /closed/)
  await assert.rejects(speech.say('Nor will these words be heard.'), /closed/)
  await speech.close()
})

test('[H1] recordings are used when eight of them are installed, and a broken one is left out', async () => {
  const voices = join(folder, 'human')
  await rm(voices, { recursive: true, force: true })
  const { mkdir } = await import('node:fs/promises')
  await mkdir(voices)
  const names =
    'hello-world check-number-dial-again one-moment-please please-try-call-later vm-nobodyavail queue-thankyou please-try-again number-not-answering'
  const samples = Int16Array.from({ length: 12_000 }, (_, i) => 6000 * Math.sin(i / 3))
  for (const name of names.split(' '))
    await writeFile(join(voices, `${name}.wav`), writePcmWav({ samples, rateHz: 8000 }))
  await writeFile(join(voices, 'feature-not-avail-line.wav'), 'not a wav')
  const speech = await openSpeech({ cacheDir, humanDir: voices })
  assert.equal(speech.callerClips().length, 8)
  assert.ok(speech.callerClips().every((clip) => clip.source === 'human' && clip.ms === 1500))
  await speech.close()
})
