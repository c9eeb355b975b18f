import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changed, isWholeConfig, onlyGiven, without } from './session-change.ts'

const PAYLOAD = {
  type: 'realtime',
  instructions: undefined,
  model: 'm',
  output_modalities: ['audio'],
  audio: {
    input: {
      format: 'f',
      noise_reduction: null,
      transcription: { model: 't' },
      turn_detection: { type: 'semantic_vad' },
    },
    output: { format: 'f', voice: undefined, speed: 1 },
  },
  tool_choice: undefined,
}

test('[P21][SC1] of a part only what was given counts, in old spellings and in new', () => {
  assert.deepEqual(onlyGiven({ ...PAYLOAD, instructions: 'x' }, { instructions: 'x' }), {
    type: 'realtime',
    instructions: 'x',
  })
  const turn_detection = { type: 'semantic_vad' }
  const asGiven = { type: 'realtime', audio: { input: { turn_detection } } }
  assert.deepEqual(onlyGiven(PAYLOAD, { turnDetection: {} } as never), asGiven)
  assert.deepEqual(onlyGiven(PAYLOAD, { audio: { input: { turnDetection: {} } } } as never), asGiven)
  assert.deepEqual(onlyGiven(PAYLOAD, { modalities: ['audio'], audio: { output: { speed: 1 } } } as never), {
    type: 'realtime',
    output_modalities: ['audio'],
    audio: { output: { speed: 1 } },
  })
})

test('[SC1] fields are merged, a turn detection with one of its type; null and another type replace it', () => {
  const base = {
    tools: ['t'],
    audio: { input: { format: 'f', turn_detection: { type: 'server_vad', threshold: 0.5 } } },
  }
  const detection = (turn_detection: unknown): unknown => {
    const { audio, tools } = changed(base, { audio: { input: { turn_detection } } }) as typeof base
    assert.deepEqual([tools, audio.input.format], [['t'], 'f'])
    return audio.input.turn_detection
  }
  assert.deepEqual(detection({ threshold: 0.7 }), { type: 'server_vad', threshold: 0.7 })
  assert.deepEqual(detection({ type: 'server_vad', silence_duration_ms: 1 }), {
    type: 'server_vad',
    threshold: 0.5,
    silence_duration_ms: 1,
  })
  assert.deepEqual(detection({ type: 'semantic_vad' }), { type: 'semantic_vad' })
  assert.equal(detection(null), null)
  assert.deepEqual(changed(base, { tools: undefined, prompt: 'p' }), { ...base, prompt: 'p' })
  assert.deepEqual(changed({ a: 1 }, { b: 2 }), { a: 1, b: 2 }, 'no audio where there was none')
})

test('[SC2] what an agent’s whole configuration sets is no change of code any more', () => {
  const change = {
    max_output_tokens: 9,
    instructions: 'x',
    audio: { input: { turn_detection: 1 }, output: { speed: 2 } },
  }
  const whole = { instructions: 'y', audio: { input: { turn_detection: 3 }, output: { voice: 'v' } } }
  assert.deepEqual(without(change, whole), { max_output_tokens: 9, audio: { output: { speed: 2 } } })
})

test('[SC2] the SDK’s configuration of an agent is told from a change by code', () => {
  assert.equal(isWholeConfig({ instructions: 'x', tools: [], tracing: null, prompt: undefined } as never), true)
  assert.equal(isWholeConfig({ instructions: 'x' }), false)
})
