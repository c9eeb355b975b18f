// Pure parts of the provider's side: meanings of events, refusals, replay, the shape of a session, client events.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { SocketEnd } from '../../kit/websocket/connection.ts'
import { isForAgent } from './agent-transport.ts'
import { clientEventOf } from './client-events.ts'
import { isFatalCode, isWeather, lossOfDial, lossOfEnd } from './refusal.ts'
import { replayEvents } from './replay.ts'
import { type SessionDefaults, shapeSession, turnTakingIn } from './session-shape.ts'
import { translate } from './translate.ts'

suite('server events', () => {
  const usage = {
    input_tokens: 10,
    output_tokens: 20,
    input_token_details: { audio_tokens: 3, cached_tokens: 4 },
    output_token_details: { audio_tokens: 5 },
  }
  const cases: [Record<string, unknown> & { type: string }, unknown][] = [
    [
      { type: 'input_audio_buffer.speech_started', item_id: 'i' },
      { kind: 'speech-started', itemId: 'i' },
    ],
    [
      { type: 'input_audio_buffer.speech_stopped', item_id: 'i' },
      { kind: 'speech-stopped', itemId: 'i' },
    ],
    [
      { type: 'response.created', response: { id: 'r' } },
      { kind: 'response-started', responseId: 'r' },
    ],
    [
      { type: 'response.output_audio.done', item_id: 'i' },
      { kind: 'audio-ended', itemId: 'i' },
    ],
    [
      { type: 'conversation.item.input_audio_transcription.completed', item_id: 'i', transcript: ' hi\n' },
      { kind: 'caller-said', itemId: 'i', text: 'hi' },
    ],
    [
      { type: 'response.output_audio_transcript.done', item_id: 'i', transcript: 'yes ' },
      { kind: 'agent-said', itemId: 'i', text: 'yes' },
    ],
    [
      { type: 'response.output_item.done', item: { type: 'function_call', call_id: 'c', name: 'n', arguments: '{}' } },
      { kind: 'tool-called', toolCallId: 'c', name: 'n', arguments: '{}' },
    ],
    [{ type: 'response.output_item.done', item: { type: 'message' } }, undefined],
    [{ type: 'response.output_item.done', item: { type: 'function_call', status: 'incomplete' } }, undefined],
    [{ type: 'response.function_call_arguments.done', call_id: 'c' }, undefined],
    [{ type: 'conversation.item.done', item: { type: 'function_call' } }, undefined],
    [{ type: 'something.new' }, undefined],
    [
      { type: 'response.output_text.done', item_id: 'i', text: ' At ten.' },
      { kind: 'agent-said', itemId: 'i', text: 'At ten.' },
    ],
    ...(
      [
        ['Please try again in 1.5s. Visit the limits.', { retryAfterMs: 1_500 }],
        ['Please try again in 700ms.', { retryAfterMs: 700 }],
        ['Try again in 1m', { retryAfterMs: 60_000 }],
        ['Slow down.', {}],
      ] as const
    ).map(([message, told]): [Record<string, unknown> & { type: string }, unknown] => [
      {
        type: 'response.done',
        response: { id: 'r', status: 'failed', status_details: { error: { code: 'rate_limit_exceeded', message } } },
      },
      {
        kind: 'response-ended',
        responseId: 'r',
        status: 'failed',
        code: 'rate_limit_exceeded',
        limit: 'rate',
        ...told,
      },
    ]),
    [
      {
        type: 'response.done',
        response: {
          id: 'r',
          status: 'completed',
          output: [
            { type: 'message', content: [{ type: 'output_text', text: 'At ten.' }] },
            { type: 'mcp_approval_request' },
          ],
        },
      },
      { kind: 'response-ended', responseId: 'r', status: 'completed', text: 'At ten.', awaitsApproval: true },
    ],
    [
      {
        type: 'response.done',
        response: { id: 'r', status: 'completed', output: [{ type: 'message', content: [{ type: 'output_audio' }] }] },
      },
      { kind: 'response-ended', responseId: 'r', status: 'completed' },
    ],
    [
      { type: 'response.done', response: { id: 'r', status: 'completed', usage } },
      {
        kind: 'response-ended',
        responseId: 'r',
        status: 'completed',
        usage: { inputTokens: 10, outputTokens: 20, inputAudioTokens: 3, outputAudioTokens: 5, cachedTokens: 4 },
      },
    ],
    [
      {
        type: 'response.done',
        response: { id: 'r', status: 'cancelled', status_details: { reason: 'turn_detected' }, usage: null },
      },
      { kind: 'response-ended', responseId: 'r', status: 'cancelled', code: 'turn_detected' },
    ],
    [
      {
        type: 'response.done',
        response: { id: 'r', status: 'failed', status_details: { error: { code: 'server_error' } } },
      },
      { kind: 'response-ended', responseId: 'r', status: 'failed', code: 'server_error' },
    ],
    [{ type: 'response.done' }, { kind: 'response-ended', responseId: '', status: 'completed' }],
  ]
  for (const [event, want] of cases)
    test(`[TL1] ${JSON.stringify(event).slice(0, 90)}`, () => assert.deepEqual(translate(event), want))

  test('[TL1] fields of any kind never throw', () => {
    const types = cases.map(([event]) => event.type)
    const keys = ['item_id', 'response', 'item', 'transcript']
    const property = fc.property(
      fc.constantFrom(...types),
      fc.dictionary(fc.constantFrom(...keys), fc.jsonValue()),
      (type, more) => {
        translate({ ...more, type })
      },
    )
    fc.assert(property, { numRuns: 500 })
  })
})

suite('events for the agent', () => {
  test('[AT1] the SDK sees the events that it acts on, and nothing else', () => {
    const sees = (type: string, more: object = {}): boolean => isForAgent({ type, ...more })
    for (const type of [
      'error',
      'response.created',
      'response.done',
      'conversation.item.done',
      'mcp_list_tools.completed',
    ])
      assert.ok(sees(type), type)
    for (const type of [
      'session.created',
      'session.updated',
      'response.output_audio.delta',
      'rate_limits.updated',
      'new.thing',
    ])
      assert.ok(!sees(type), type)
    assert.ok(sees('response.output_item.done', { item: { type: 'function_call' } }))
    assert.ok(!sees('response.output_item.done', { item: { type: 'message' } }))
  })
})

suite('refusals and ends', () => {
  const refused = (status: number, body = '', retryAfterMs?: number) =>
    lossOfDial({ kind: 'refused', status, body, retryAfterMs })
  const error = (code: string): string => JSON.stringify({ error: { code, message: 'm' } })

  for (const [status, body, code, fatal] of [
    [401, error('invalid_api_key'), 'invalid_api_key', true],
    [401, '', 'http_401', true],
    [403, 'no JSON', 'http_403', true],
    [404, error('model_not_found'), 'model_not_found', true],
    [400, '{"error":{"type":"invalid_request_error"}}', 'invalid_request_error', true],
    [429, error('rate_limit_exceeded'), 'rate_limit_exceeded', false],
    [429, error('insufficient_quota'), 'insufficient_quota', true],
    [500, '', 'http_500', false],
    [503, '[]', 'http_503', false],
    [302, 'null', 'http_302', false],
  ] as const)
    test(`[RF1] a dial refused with ${status} ${code} is ${fatal ? 'fatal' : 'tried again'}`, () => {
      const isLimit = status === 429 ? { isLimit: true } : {}
      assert.deepEqual(refused(status, body), { code, fatal, ...isLimit })
    })

  test('[RF2] Retry-After goes along; a dial that failed is tried again', () => {
    assert.deepEqual(refused(429, '', 3_000), { code: 'http_429', fatal: false, isLimit: true, retryAfterMs: 3_000 })
    assert.deepEqual(lossOfDial({ kind: 'failed', reason: 'timed out' }), { code: 'SOCKET_LOST', fatal: false })
  })

  for (const [end, wasReady, want] of [
    [{ code: 1000, reason: '', cause: 'closed' }, true, { code: 'close_1000', fatal: false }],
    [{ code: 1006, reason: '', cause: 'lost' }, true, { code: 'socket_lost', fatal: false }],
    [{ code: 1006, reason: '', cause: 'overflow' }, true, { code: 'socket_overflow', fatal: false }],
    [{ code: 1008, reason: 'policy', cause: 'closed' }, false, { code: 'close_1008', fatal: true }],
    [{ code: 1008, reason: 'policy', cause: 'closed' }, true, { code: 'close_1008', fatal: false }],
    [{ code: 4000, reason: 'x.beta_api_shape_disabled', cause: 'closed' }, false, { code: 'close_4000', fatal: true }],
    [{ code: 4000, reason: 'restart', cause: 'closed' }, false, { code: 'close_4000', fatal: false }],
  ] as [SocketEnd, boolean, object][])
    test(`[RF1] the end ${end.code} (${end.cause}) of a link that ${wasReady ? 'served' : 'did not serve'}`, () => {
      assert.deepEqual(lossOfEnd(end, wasReady), want)
    })

  test('[RF1] fatal codes and weather are told apart from all others', () => {
    assert.deepEqual(['invalid_api_key', 'insufficient_quota', 'server_error', 'odd'].map(isFatalCode), [
      true,
      true,
      false,
      false,
    ])
    assert.deepEqual(['response_cancel_not_active', 'conversation_already_has_active_response', 'odd'].map(isWeather), [
      true,
      true,
      false,
    ])
  })
})

suite('replay', () => {
  test('[RP1] the history becomes items in order: the agent’s words as far as heard, nothing for no words', () => {
    const events = replayEvents([
      { kind: 'caller', id: 'u', text: 'hello' },
      { kind: 'agent', id: 'a', text: 'we are', heardMs: 500, cut: true },
      { kind: 'caller', id: 'u2', text: '' },
      { kind: 'agent', id: 'a2', text: '', cut: true },
    ])
    assert.deepEqual(
      events.map(({ type, item }) => [type, item]),
      [
        [
          'conversation.item.create',
          { id: 'u', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hello' }] },
        ],
        [
          'conversation.item.create',
          {
            id: 'a',
            type: 'message',
            role: 'assistant',
            content: [{ type: 'output_text', text: 'we are' }],
            status: 'incomplete',
          },
        ],
      ],
    )
  })

  test('[RP2] a tool call comes with its output when there is one, also an empty one', () => {
    const tool = { kind: 'tool', id: 'c', name: 'n', arguments: '{}' } as const
    const call = { id: 'fc_c', type: 'function_call', call_id: 'c', name: 'n', arguments: '{}' }
    const items = (output: string | undefined) => replayEvents([{ ...tool, output }]).map(({ item }) => item)
    assert.deepEqual(items(undefined), [call])
    assert.deepEqual(items(''), [call, { type: 'function_call_output', call_id: 'c', output: '' }])
  })
})

suite('what we send', () => {
  const DEFAULTS: SessionDefaults = {
    audio: 'pcmu',
    turnDetection: {},
    transcription: null,
    voice: undefined,
    bargeIn: true,
    autoRespond: false,
  }
  type Shaped = { audio: { input: Record<string, unknown>; output: Record<string, unknown> } } & Record<string, unknown>
  const shape = (payload: Record<string, unknown>, more: Partial<SessionDefaults> = {}) =>
    shapeSession(payload, { ...DEFAULTS, ...more }) as Shaped

  test('[SH1] formats are the plane’s whatever the agent says; the model’s name leaves', () => {
    const given = {
      model: 'm',
      type: 'realtime',
      audio: { input: { format: { type: 'audio/pcm' } }, output: { voice: 'v', format: 'g711' } },
    }
    const session = shape(given)
    assert.equal('model' in session, false)
    assert.deepEqual(
      [session.audio.input.format, session.audio.output.format],
      [{ type: 'audio/pcmu' }, { type: 'audio/pcmu' }],
    )
    assert.equal(session.audio.output.voice, 'v')
    assert.deepEqual(shape({}, { audio: 'pcm16' }).audio.output.format, { type: 'audio/pcm', rate: 24_000 })
  })

  test('[SH3] both flags are always sent, the agent’s own first; no turn detection stays none', () => {
    const detection = (turn_detection: unknown) =>
      shape({ audio: { input: { turn_detection } } }).audio.input.turn_detection
    assert.deepEqual(detection(undefined), { create_response: false, interrupt_response: true })
    assert.deepEqual(detection({ type: 'semantic_vad', create_response: true }), {
      type: 'semantic_vad',
      create_response: true,
      interrupt_response: true,
    })
    assert.equal(detection(null), null)
  })

  test('[SH2] what the agent states beside the formats stays, and odd payloads do not throw', () => {
    const { audio } = shape({ audio: { input: { noise_reduction: { type: 'near_field' }, transcription: null } } })
    assert.deepEqual([audio.input.noise_reduction, audio.input.transcription], [{ type: 'near_field' }, null])
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('audio', 'model', 'tools'), fc.jsonValue()), (any) => void shape(any)),
    )
  })

  test('[TU1] commands are client events, and bear the id that an error about them will name', () => {
    assert.deepEqual(clientEventOf({ kind: 'respond', requestId: 'vp-1' }), {
      type: 'response.create',
      event_id: 'vp-1',
    })
    assert.deepEqual(
      clientEventOf({ kind: 'respond', requestId: 'vp-2', instructions: 'i', extra: { tool_choice: 'none' } }),
      {
        type: 'response.create',
        event_id: 'vp-2',
        response: { tool_choice: 'none', instructions: 'i' },
      },
    )
    assert.deepEqual(clientEventOf({ kind: 'cancel' }), { type: 'response.cancel', event_id: 'vp-cancel' })
    assert.deepEqual(clientEventOf({ kind: 'truncate', itemId: 'i', audioEndMs: 5 }), {
      type: 'conversation.item.truncate',
      event_id: 'vp-truncate-5',
      item_id: 'i',
      content_index: 0,
      audio_end_ms: 5,
    })
    const digits = clientEventOf({ kind: 'digits', itemId: 'k', digits: '12#' })
    assert.match(JSON.stringify(digits), /"role":"user".*12#/)
    assert.deepEqual(clientEventOf({ kind: 'commit' }), { type: 'input_audio_buffer.commit', event_id: 'vp-commit' })
    const note = clientEventOf({ kind: 'note', itemId: 'n', text: 'go on' })
    assert.match(JSON.stringify(note), /"id":"n".*"role":"system".*go on.*"event_id":"vp-n"/)
  })
})

test('[A6] [SH4] who ends turns is read from what is sent', () => {
  const cases: [unknown, boolean, boolean][] = [
    [null, false, false],
    [{ create_response: false }, false, true],
    [{ interrupt_response: false }, true, false],
    [{ create_response: true, interrupt_response: true }, true, true],
    [undefined, true, true],
  ]
  for (const [turn_detection, autoRespond, interrupts] of cases)
    assert.deepEqual(turnTakingIn({ audio: { input: { turn_detection } } }), { autoRespond, interrupts })
})
