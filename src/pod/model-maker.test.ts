// From the configuration to model sessions: defaults, and joining of frames by load.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Config, readConfig } from '../config.ts'
import { framesPerAppend, sessionDefaults } from './model-maker.ts'

function configOf(env: Record<string, string> = {}): Config {
  const read = readConfig({ SIGNATURE_CHECK: 'off-loopback', ...env })
  if (read.kind === 'invalid') assert.fail(JSON.stringify(read.problems))
  return read.config
}

test('frames are joined as the policy and the number of live calls say, five at most', () => {
  const at = (env: Record<string, string>, calls: number) => framesPerAppend(configOf(env), () => calls)()
  assert.deepEqual(
    [0, 1, 200, 201, 400, 401, 5_000].map((calls) => at({}, calls)),
    [1, 1, 1, 2, 2, 3, 5],
  )
  assert.equal(at({ APPEND_COALESCE: 'off' }, 5_000), 1)
  assert.equal(at({ APPEND_COALESCE: '4' }, 0), 4)
})

test('frames are joined by a threshold of any size, also none', () => {
  for (const above of ['0', '1', '100000'])
    for (const calls of [0, 1, 7, 1_000]) {
      const frames = framesPerAppend(configOf({ APPEND_COALESCE_ABOVE_CALLS: above }), () => calls)()
      assert.ok(Number.isInteger(frames) && frames >= 1 && frames <= 5, `${above} ${calls}: ${frames}`)
    }
})

test('what the agent may leave out follows from the configuration, in the SDK’s shape', () => {
  const server = sessionDefaults(configOf({ VAD_IDLE_TIMEOUT_MS: '6000', TRANSCRIPTION_LANGUAGE: 'de' }), 'pcmu')
  assert.deepEqual(server.turnDetection, {
    type: 'server_vad',
    threshold: 0.5,
    prefixPaddingMs: 300,
    silenceDurationMs: 500,
    idleTimeoutMs: 6_000,
  })
  assert.deepEqual(server.transcription, { model: 'gpt-4o-mini-transcribe', language: 'de' })
  const semantic = sessionDefaults(configOf({ VAD: 'semantic', VAD_EAGERNESS: 'low' }), 'pcm16')
  assert.deepEqual([semantic.turnDetection, semantic.audio], [{ type: 'semantic_vad', eagerness: 'low' }, 'pcm16'])
  assert.deepEqual([semantic.bargeIn, semantic.autoRespond], [true, true])
})
