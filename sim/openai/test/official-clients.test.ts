// Fidelity: the official clients use the simulator as they use the service, and complain of nothing.
import assert from 'node:assert/strict'
import { connect as connectTcp, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime'
import { z } from 'zod'
import { decodeUlaw } from '../../speech/g711.ts'
import { from8k } from '../../speech/resample.ts'
import { startOpenAiSim } from '../sim.ts'
import { buzz, silence } from './client.ts'

const WAIT_MS = 8_000
const sim = await startOpenAiSim({ thinkMs: 20, speed: 20 })
after(() => sim.close())

/** Resolves when `check` holds; looked at when `poke` is called. */
function waiting() {
  const looks = new Set<() => void>()
  return {
    poke: () => {
      for (const look of looks) look()
    },
    until: (what: string, check: () => boolean) =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), WAIT_MS)
        const look = () => {
          if (!check()) return
          clearTimeout(timer)
          looks.delete(look)
          resolve()
        }
        looks.add(look)
        look()
      }),
  }
}

test("the openai package's realtime client talks, listens, calls a tool and truncates", async () => {
  const client = new OpenAI({ apiKey: 'test-key', baseURL: `http://127.0.0.1:${sim.port}/v1` })
  // The client insists on wss, the simulator speaks plain ws on loopback: the client gets a plain socket instead of TLS.
  const createConnection = (): Socket => connectTcp(sim.port, '127.0.0.1')
  const realtime = new OpenAIRealtimeWS({ model: 'gpt-realtime-2.1', options: { createConnection } as object }, client)
  const events: RealtimeServerEvent[] = []
  const errors: unknown[] = []
  const wait = waiting()
  realtime.on('event', (event) => {
    events.push(event)
    wait.poke()
  })
  realtime.on('error', (error) => {
    errors.push(error)
    wait.poke()
  })
  const count = (type: string) => events.filter((event) => event.type === type).length
  await wait.until('session.created', () => count('session.created') === 1)
  const format = { type: 'audio/pcmu' as const }
  const tools = ['find_available_slots', 'book_appointment'].map((name) => ({ type: 'function' as const, name }))
  realtime.send({
    type: 'session.update',
    session: { type: 'realtime', tools, audio: { input: { format }, output: { format } } },
  })
  realtime.send({ type: 'response.create' })
  await wait.until('the greeting', () => count('response.done') === 1)
  const sound = Buffer.concat([buzz(500), silence(600)])
  realtime.send({ type: 'input_audio_buffer.append', audio: sound.toString('base64') })
  await wait.until('the call', () => count('response.done') === 2)
  const call = events.find((event) => event.type === 'response.function_call_arguments.done')
  assert.equal(call?.name, 'find_available_slots')
  realtime.send({
    type: 'conversation.item.create',
    item: { type: 'function_call_output', call_id: call!.call_id, output: '{"slots":[]}' },
  })
  realtime.send({ type: 'response.create' })
  await wait.until('the answer', () => count('response.done') === 3)
  const done = events.filter((event) => event.type === 'response.done').at(-1)
  assert.equal(done?.response.status, 'completed')
  realtime.send({
    type: 'conversation.item.truncate',
    item_id: done!.response.output![0]!.id!,
    content_index: 0,
    audio_end_ms: 300,
  })
  await wait.until('the truncation', () => count('conversation.item.truncated') === 1)
  assert.deepEqual(errors, [])
  realtime.send({ type: 'response.cancel' })
  await wait.until('the error', () => errors.length === 1)
  assert.match(String(errors[0]), /no active response/)
  realtime.close()
})

function callerSound(): ArrayBuffer {
  const samples = from8k(decodeUlaw(Buffer.concat([buzz(500), silence(1200)])), 3)
  return samples.slice().buffer as ArrayBuffer
}

test('an agents-realtime session greets, runs its tool, is interrupted, counts usage and keeps history', async () => {
  const ran: string[] = []
  const findSlots = tool({
    name: 'find_available_slots',
    description: 'Free appointments.',
    parameters: z.object({ service: z.string() }),
    execute: async ({ service }) => {
      ran.push(service)
      return JSON.stringify({ slots: [{ slot_id: 's-1', spoken: 'Monday at ten', provider: 'Doctor Ruiz' }] })
    },
  })
  const book = tool({
    name: 'book_appointment',
    description: 'Books.',
    parameters: z.object({ slot_id: z.string() }),
    execute: async () => '{}',
  })
  const agent = new RealtimeAgent({ name: 'Front desk', instructions: 'Answer the phone.', tools: [findSlots, book] })
  const session = new RealtimeSession(agent, { transport: 'websocket', model: 'gpt-realtime-2.1' })
  const wait = waiting()
  const types: string[] = []
  const errors: unknown[] = []
  let audioBytes = 0
  let interruptions = 0
  session.on('error', (error) => errors.push(error))
  session.on('audio', (event) => {
    audioBytes += event.data.byteLength
  })
  session.on('audio_interrupted', () => {
    interruptions += 1
  })
  session.on('transport_event', (event) => {
    types.push(event.type)
    wait.poke()
  })
  const count = (type: string) => types.filter((seen) => seen === type).length
  await session.connect({ apiKey: 'test-key', url: `${sim.url}?model=gpt-realtime-2.1` })
  await wait.until('session.updated', () => count('session.updated') >= 1)
  session.transport.sendEvent({ type: 'response.create' })
  await wait.until('the greeting', () => count('response.done') === 1)
  assert.ok(audioBytes > 48_000, `${audioBytes} bytes of 24 kHz audio`)
  session.sendAudio(callerSound())
  await wait.until('the answer after the tool', () => count('response.done') === 3)
  assert.deepEqual(ran, ['check-up'])
  const said = JSON.stringify(session.history)
  assert.match(said, /Hello, I would like to make an appointment please\./)
  assert.match(said, /Monday at ten/)
  assert.deepEqual(
    session.history.map((item) => (item.type === 'message' ? item.role : item.type)),
    ['assistant', 'user', 'function_call', 'assistant'],
  )
  session.sendAudio(callerSound())
  await wait.until('the interruption', () => interruptions > 0)
  await wait.until('the second call', () => count('response.function_call_arguments.done') === 2)
  assert.ok(session.usage.inputTokens > 0 && session.usage.outputTokens > 0)
  assert.deepEqual(errors, [])
  session.close()
})
