// The seam to the agents SDK, with the SDK's own session above it and a sink that notes what comes out below.
import assert from 'node:assert/strict'
import { afterEach, suite, test } from 'node:test'
import { RealtimeAgent, type RealtimeSession, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { ResponseRequest } from '../../call/ports.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import type { PackCall } from '../../packs/pack.ts'
import { type AgentOwner, AgentRuntime } from './agent-runtime.ts'
import { OUTPUT_MAX_CHARS } from './agent-transport.ts'
import type { SessionDefaults } from './session-shape.ts'
import type { ServerEvent } from './wire.ts'

const DEFAULTS: SessionDefaults = {
  audio: 'pcmu',
  turnDetection: { type: 'semantic_vad' },
  transcription: null,
  voice: 'marin',
  bargeIn: true,
  autoRespond: true,
}
const toClose: AgentRuntime[] = []
afterEach(() => {
  for (const runtime of toClose.splice(0)) runtime.close()
})

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve))
}

class Bench implements AgentOwner {
  readonly sent: Record<string, unknown>[] = []
  readonly configured: Record<string, unknown>[] = []
  readonly wanted: ResponseRequest[] = []
  readonly answers: string[] = []
  readonly failures: string[] = []
  interrupts = 0
  readonly runtime: AgentRuntime
  session!: RealtimeSession<unknown>

  constructor(more: Partial<PackCall> = {}, log: Log = silentLog) {
    const lookUp = tool({
      name: 'look_up',
      description: 'Looks up.',
      parameters: z.object({ what: z.string() }),
      execute: async ({ what }) => {
        if (what === 'throw') throw new Error('secret detail')
        return `found ${what}`
      },
    })
    const agent = new RealtimeAgent({ name: 'Agent', instructions: 'Be brief.', tools: [lookUp] })
    const { onSession, ...rest } = more
    const packCall: PackCall = {
      agent,
      onSession: (session) => {
        this.session = session
        onSession?.(session)
      },
      ...rest,
    }
    this.runtime = new AgentRuntime(packCall, { model: 'm', defaults: DEFAULTS, log }, this)
    toClose.push(this.runtime)
  }
  configure(session: Record<string, unknown>): void {
    this.configured.push(session)
  }
  sendClientEvent(event: Record<string, unknown>): void {
    this.sent.push(event)
  }
  wantResponse(request: ResponseRequest): void {
    this.wanted.push(request)
  }
  wantInterrupt(): void {
    this.interrupts += 1
  }
  toolFailed(): void {}
  isToolAnswered(): boolean {
    return false
  }
  toolAnswered(toolCallId: string, name: string, output: string, respond: boolean): void {
    this.answers.push(`${toolCallId} ${name} ${output} ${respond}`)
  }
  agentChanged(): void {}
  agentFailed(message: string): void {
    this.failures.push(message)
  }
  async begin(): Promise<this> {
    this.runtime.start()
    await settle()
    return this
  }
  deliver(event: ServerEvent): void {
    this.runtime.transport.deliver(event)
  }
  said(id: string, transcript = 'words', previous_item_id: string | null = null): void {
    const content = [{ type: 'output_audio', transcript }]
    const item = { id, type: 'message', role: 'assistant', status: 'completed', content }
    this.deliver({ type: 'conversation.item.done', event_id: 'e', previous_item_id, item })
  }
  callTool(callId: string, what: string): void {
    const parts = { call_id: callId, name: 'look_up', arguments: JSON.stringify({ what }) }
    const item = { id: `item_${callId}`, type: 'function_call', status: 'completed', ...parts }
    this.deliver({ type: 'response.output_item.done', event_id: 'e', response_id: 'r', output_index: 0, item })
  }
}

test('[P33][AT7] an answer of megabytes is cut, says so at its end, and reaches the call so', async () => {
  const bench = await new Bench().begin()
  bench.callTool('c1', 'long '.repeat(600_000))
  await settle()
  const outputs = bench.sent.map((event) => String((event.item as { output?: unknown } | undefined)?.output ?? ''))
  const [output] = outputs.filter((one) => one !== '')
  assert.ok(output !== undefined && output.length <= OUTPUT_MAX_CHARS + 200, `sent ${output?.length} characters`)
  assert.match(output, /^found long long/)
  assert.match(output, /was cut here/)
  assert.equal(bench.answers.length, 1)
  assert.ok(bench.answers[0]!.includes(output), 'the history has what the model has')
})

test('[P57][AT8] an event that the SDK cannot read is left out and logged by its type; an approval among them is refused in words', async () => {
  const odd: [string, Record<string, unknown>][] = [
    ['no role', { id: 'i1', type: 'message', content: [] }],
    ['no id', { type: 'message', role: 'user', status: 'completed', content: [{ type: 'input_text', text: 'x' }] }],
    ['sound of the system', { id: 'i2', type: 'message', role: 'system', content: [{ type: 'input_audio' }] }],
    ['a call without a name', { id: 'i3', type: 'mcp_call', server_label: 's', arguments: '' }],
    [
      'an approval cut off',
      { id: 'i4', type: 'mcp_approval_request', server_label: 's', name: 'pay', arguments: '{"to": "Mei' },
    ],
  ]
  for (const [what, item] of odd)
    for (const type of ['conversation.item.done', 'response.output_item.done']) {
      const bench = await new Bench().begin()
      bench.deliver({ type, event_id: 'e', response_id: 'r', output_index: 0, item })
      bench.said('after', 'all goes on')
      assert.equal(
        bench.session.history.some(({ itemId }) => itemId === 'after'),
        true,
        `${what}, ${type}`,
      )
      const refusals = bench.sent.filter((event) => (event.item as { type?: string })?.type === 'mcp_approval_response')
      const isApproval = item.type === 'mcp_approval_request' && type === 'conversation.item.done'
      assert.equal(refusals.length, isApproval ? 1 : 0, `${what}, ${type}`)
      if (isApproval) assert.match(JSON.stringify(refusals[0]), /"approval_request_id":"i4","approve":false/)
    }
  const lines: object[] = []
  const log = { ...silentLog, warn: (fields: object) => void lines.push(fields) }
  const bench = await new Bench({}, log).begin()
  bench.deliver({ type: 'conversation.item.done', event_id: 'e', item: odd[4]![1] })
  assert.match(JSON.stringify(lines), /MODEL_EVENT_UNREADABLE.*conversation\.item\.done.*SyntaxError/)
  assert.doesNotMatch(JSON.stringify(lines), /Mei/, 'nothing that was said is in the log')
})

suite('down: what the SDK asks for', () => {
  test('[AR1] the agent’s instructions and tools come out as one configuration, with the plane’s defaults', async () => {
    const bench = await new Bench().begin()
    assert.equal(bench.configured.length, 1)
    const [session] = bench.configured as {
      instructions: string
      tools: { name: string }[]
      audio: { output: { voice: string } }
    }[]
    assert.match(session!.instructions, /Be brief/)
    assert.deepEqual(
      session!.tools.map(({ name }) => name),
      ['look_up'],
    )
    assert.equal(session!.audio.output.voice, 'marin')
    assert.deepEqual([bench.sent, bench.failures], [[], []])
    bench.runtime.start()
    await settle()
    assert.equal(bench.configured.length, 1, 'a second start does nothing')
  })

  test('[AT2] a response is asked of the call, with what the SDK wants of it; an interruption too', async () => {
    const bench = await new Bench().begin()
    const { transport } = bench.runtime
    transport.sendEvent({ type: 'response.create' })
    transport.sendEvent({ type: 'response.create', response: { instructions: 'now', tool_choice: 'none' } })
    bench.session.interrupt()
    assert.deepEqual(bench.wanted, [{}, { instructions: 'now', extra: { tool_choice: 'none' } }])
    assert.equal(bench.interrupts, 1)
    assert.deepEqual(bench.sent, [])
  })

  test('[AT3] the SDK’s wish for an item with its audio never leaves', async () => {
    const bench = await new Bench().begin()
    bench.runtime.transport.sendEvent({ type: 'conversation.item.retrieve', item_id: 'i' })
    bench.said('i')
    bench.deliver({
      type: 'conversation.item.input_audio_transcription.completed',
      event_id: 'e',
      item_id: 'u',
      content_index: 0,
      transcript: 'hello',
    })
    bench.runtime.transport.audioInterrupted('i', 'wor')
    await settle()
    assert.deepEqual(bench.sent, [])
  })

  test('[AT2] session.update of anybody is a configuration; other events go as they are', async () => {
    const bench = await new Bench().begin()
    bench.runtime.transport.sendEvent({ type: 'session.update', session: { instructions: 'other' } })
    assert.deepEqual(bench.configured.at(-1), { instructions: 'other' })
    const event = { type: 'conversation.item.delete', item_id: 'i' }
    bench.runtime.transport.sendEvent(event)
    assert.deepEqual(bench.sent, [event])
    assert.throws(() => bench.runtime.transport.mute(true), /cannot be muted/)
  })

  test('[AT2] a message of the user’s code goes out as an item and asks the call for a response', async () => {
    const bench = await new Bench().begin()
    bench.session.sendMessage('the door is open')
    assert.deepEqual(
      bench.sent.map(({ type }) => type),
      ['conversation.item.create'],
    )
    assert.match(JSON.stringify(bench.sent), /the door is open/)
    assert.equal(bench.wanted.length, 1)
  })

  test('[AR1] a tool is run and its output goes to the model; the response is the call’s matter', async () => {
    const bench = await new Bench().begin()
    bench.callTool('c1', 'tea')
    await settle()
    const [output] = bench.sent as { type: string; item: Record<string, unknown> }[]
    assert.equal(output?.type, 'conversation.item.create')
    assert.deepEqual(
      [output?.item.type, output?.item.call_id, output?.item.output],
      ['function_call_output', 'c1', 'found tea'],
    )
    assert.deepEqual(bench.answers, ['c1 look_up found tea true'])
    assert.deepEqual(bench.wanted, [])
  })
})

suite('up: what the SDK is told', () => {
  test('[AT1] the first audio of a response is known to users, without audio', async () => {
    const bench = await new Bench().begin()
    const heard: string[] = []
    bench.session.on('audio_start', () => heard.push('start'))
    bench.session.on('audio', ({ data }) => heard.push(`audio ${data.byteLength}`))
    bench.session.on('audio_stopped', () => heard.push('stopped'))
    bench.deliver({ type: 'response.created', event_id: 'e', response: { id: 'r' } })
    bench.runtime.transport.audioStarted('r')
    bench.deliver({ type: 'response.output_audio.done', event_id: 'e', response_id: 'r', item_id: 'i' })
    assert.deepEqual(heard.sort(), ['audio 0', 'start', 'stopped'])
  })

  test('[AT1] words of the agent come in pieces of some length, whole, and only if somebody looks at them', async () => {
    const execute = async () => ({ tripwireTriggered: false, outputInfo: {} })
    const watched = await new Bench({ outputGuardrails: [{ name: 'g', execute }] }).begin()
    const blind = await new Bench().begin()
    for (const [bench, wantsPieces] of [
      [watched, true],
      [blind, false],
    ] as const) {
      const pieces: string[] = []
      bench.runtime.transport.on('audio_transcript_delta', ({ delta, itemId }) => pieces.push(`${itemId}:${delta}`))
      for (let i = 0; i < 40; i += 1) bench.runtime.transport.transcriptDelta('a', 'r', 'abc')
      bench.runtime.transport.transcriptDelta('b', 'r', 'xyz')
      bench.deliver({ type: 'response.done', event_id: 'e', response: { id: 'r', status: 'completed', output: [] } })
      assert.equal(bench.runtime.needsTranscriptDeltas, wantsPieces)
      if (!wantsPieces) assert.deepEqual(pieces, [])
      else {
        assert.ok(pieces.length === 4 && pieces.at(-1) === 'b:xyz', pieces.join(' '))
        const whole = pieces.filter((piece) => piece.startsWith('a:')).map((piece) => piece.slice(2))
        assert.equal(whole.join(''), 'abc'.repeat(40))
      }
    }
  })

  test('[AT4] the history is capped, oldest first, whatever the length of the call', async () => {
    const bench = await new Bench().begin()
    for (let i = 0; i < 450; i += 1) bench.said(`item_${i}`, 'words', i === 0 ? null : `item_${i - 1}`)
    const ids = bench.session.history.map(({ itemId }) => itemId)
    assert.equal(ids.length, 200)
    assert.deepEqual([ids[0], ids.at(-1)], ['item_250', 'item_449'])
    assert.deepEqual(bench.sent, [], 'nothing is deleted from the conversation itself')
  })

  test('[AT3] speech that was cut stands in the history as far as it was heard', async () => {
    const bench = await new Bench().begin()
    let interruptions = 0
    bench.session.on('audio_interrupted', () => {
      interruptions += 1
    })
    bench.said('i', 'one two three')
    bench.runtime.transport.audioInterrupted('i', 'one two')
    assert.match(JSON.stringify(bench.session.history), /"transcript":"one two"/)
    assert.equal(interruptions, 1)
  })

  test('[AR4] usage by response is capped, its sums are whole', async () => {
    const bench = await new Bench().begin()
    const usage = { input_tokens: 2, output_tokens: 3, total_tokens: 5 }
    for (let i = 0; i < 60; i += 1)
      bench.deliver({
        type: 'response.done',
        event_id: 'e',
        response: { id: `r${i}`, status: 'completed', output: [], usage },
      })
    assert.ok((bench.session.usage.requestUsageEntries?.length ?? 0) <= 21)
    assert.equal(bench.session.usage.totalTokens, 300)
  })

  test('[AR2] a tool that throws answers with an error, an error event and a listener that throws end nothing', async () => {
    const bench = await new Bench({
      onSession: (session) => {
        session.on('transport_event', ({ type }) => {
          if (type === 'response.created') throw new Error('mine')
        })
      },
    }).begin()
    bench.deliver({ type: 'error', event_id: 'e', error: { type: 'odd', message: 'm' } })
    bench.deliver({ type: 'response.created', event_id: 'e', response: { id: 'r' } })
    bench.callTool('c1', 'throw')
    await settle()
    assert.equal(bench.answers.length, 1)
    bench.said('i')
    assert.equal(bench.session.history.length > 0, true)
  })

  test('[AR2] onSession that throws, or a configuration that cannot be made, is told as a fault of the agent', async () => {
    const throws = () => {
      throw new Error('no')
    }
    assert.deepEqual((await new Bench({ onSession: throws }).begin()).failures, ['no'])
    const agent = new RealtimeAgent({ name: 'A', instructions: throws }) as unknown as PackCall['agent']
    const bench = await new Bench({ agent }).begin()
    assert.deepEqual([bench.failures, bench.configured], [['no'], []])
  })

  test('[AT1] after the close nothing is told any more, and the pack is told once', async () => {
    let closes = 0
    const close = (): void => {
      closes += 1
    }
    const bench = await new Bench({ close }).begin()
    bench.runtime.close()
    bench.runtime.close()
    bench.said('i')
    bench.callTool('c', 'tea')
    await settle()
    assert.deepEqual([closes, bench.answers, bench.session.history.length], [1, [], 0])
  })
})
