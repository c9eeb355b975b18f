// What a TypeScript user builds today: the Agents SDK's own Twilio transport behind a WebSocket server, with one agent
// and one tool, configured as its documentation shows. Kept free of tuning: it is the comparison of `bench density`.
import { createServer } from 'node:http'
import formBody from '@fastify/formbody'
import { TwilioRealtimeTransportLayer } from '@openai/agents-extensions'
import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime'
import Fastify from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { z } from 'zod'
import {
  API_KEY,
  exitOnSignal,
  INSTRUCTIONS,
  MODEL,
  MODEL_URL,
  PORT,
  printReady,
  streamTwiml,
  VOICE_PATH,
} from './settings.ts'

const findAppointment = tool({
  name: 'find_appointment',
  description: 'Finds the next free appointment of the clinic.',
  parameters: z.object({ day: z.string().nullable() }),
  execute: async ({ day }) => `The next free appointment${day === null ? '' : ` on ${day}`} is at ten.`,
})

const agent = new RealtimeAgent({ name: 'Front desk', instructions: INSTRUCTIONS, tools: [findAppointment] })

async function answer(twilioWebSocket: WebSocket): Promise<void> {
  const transport = new TwilioRealtimeTransportLayer({ twilioWebSocket })
  const session = new RealtimeSession(agent, {
    transport,
    model: MODEL,
    tracingDisabled: true,
    config: { audio: { output: { voice: 'marin' } } },
  })
  session.on('error', () => undefined)
  try {
    await session.connect({ apiKey: API_KEY, url: `${MODEL_URL}?model=${MODEL}` })
    session.transport.sendEvent({ type: 'response.create' })
  } catch {
    twilioWebSocket.close()
  }
}

const app = Fastify({ serverFactory: (listener) => createServer(listener) })
await app.register(formBody)
app.post(VOICE_PATH, (request, reply) => reply.type('text/xml').send(streamTwiml(request.host)))
app.post('/twilio/status', (_request, reply) => reply.code(204).send())
await app.listen({ port: PORT, host: '127.0.0.1' })
const sockets = new WebSocketServer({ server: app.server, perMessageDeflate: false })
sockets.on('connection', (socket) => void answer(socket))
printReady((app.server.address() as { port: number }).port)
exitOnSignal()
