// What the transport tells of a response without the SDK's parsing is what the SDK would have told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../kit/log.ts'
import { type AgentSink, AgentTransport } from './agent-transport.ts'

const NO_SINK: AgentSink = {
  configure() {},
  sendClientEvent() {},
  wantResponse() {},
  wantInterrupt() {},
  toolAnswered() {},
  isToolAnswered: () => false,
}
const plain = (told: unknown): unknown => JSON.parse(JSON.stringify(told))
const OUTPUT = [{ id: 'i', type: 'message', role: 'assistant', content: [{ type: 'output_audio', transcript: 'w' }] }]

test('[AT1] the end of a response is told as the SDK itself tells it', async () => {
  const transport = new AgentTransport(NO_SINK, { needsTranscriptDeltas: false, model: 'm', log: silentLog })
  await transport.connect({ apiKey: 'k' })
  const told: unknown[][] = []
  for (const type of ['usage_update', 'turn_done', '*', 'response.done'] as const)
    transport.on(type as '*', (event) => told.push([type, event.constructor.name, event]))
  const usage = {
    input_tokens: 2,
    output_tokens: 3,
    input_token_details: { audio_tokens: 2 },
    output_token_details: {},
  }
  for (const response of [
    { id: 'r', status: 'completed', output: OUTPUT, usage },
    { id: 'r', status: 'cancelled', output: [], usage: null },
    { id: 'r', status: 'failed', output: [] },
    { status: 'completed', output: [] },
    { id: 'r', status: 'completed' },
  ]) {
    const event = { type: 'response.done', event_id: 'e', response }
    ;(transport as unknown as { _onMessage(message: object): void })._onMessage({ data: JSON.stringify(event) })
    const theirs = plain(told.splice(0))
    transport.deliver(event)
    assert.equal(told.length, 4)
    assert.deepEqual(plain(told.splice(0)), theirs)
  }
})
