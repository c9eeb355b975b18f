// What every peer bridge is told by its environment, and what it answers to the voice webhook.
// All peers get the same variables, the same session settings and the same greeting, so that only the bridge differs.
import type { IncomingMessage, ServerResponse } from 'node:http'

export const PORT = Number(process.env.PORT ?? '0')
/** Where the model is: a `ws://…/v1/realtime` address without its query. */
export const MODEL_URL = process.env.OPENAI_REALTIME_URL ?? 'ws://127.0.0.1:8090/v1/realtime'
export const MODEL = process.env.OPENAI_REALTIME_MODEL ?? 'gpt-realtime-2.1'
export const API_KEY = process.env.OPENAI_API_KEY ?? 'sk-bench'
/** The path of the voice webhook: the generator's tests give another than the carrier's usual one. */
export const VOICE_PATH = process.env.VOICE_PATH ?? '/twilio/voice'
export const INSTRUCTIONS = 'You answer the phone of a small clinic. Be brief.'

/** The first message on the model link: µ-law both ways, server VAD, transcripts on. */
export const SESSION_UPDATE = JSON.stringify({
  type: 'session.update',
  session: {
    type: 'realtime',
    output_modalities: ['audio'],
    instructions: INSTRUCTIONS,
    audio: {
      input: {
        format: { type: 'audio/pcmu' },
        transcription: { model: 'gpt-4o-mini-transcribe' },
        turn_detection: { type: 'server_vad', create_response: true, interrupt_response: true },
      },
      output: { format: { type: 'audio/pcmu' }, voice: 'marin' },
    },
  },
})

/** Answers a `POST` to the voice webhook with the TwiML that joins the call to our media socket, the status callback with 204. */
export function answerVoice(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  if (request.url !== VOICE_PATH) {
    response.writeHead(request.url === '/twilio/status' ? 204 : 404).end()
    return
  }
  response.writeHead(200, { 'content-type': 'text/xml' }).end(streamTwiml(request.headers.host ?? '127.0.0.1'))
}

/** TwiML whose Stream leads to `host` (the address the carrier asked). */
export function streamTwiml(host: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="wss://${host}/media"/></Connect></Response>`
}

/** Tells the bench that this peer takes calls on `port`. */
export function printReady(port: number): void {
  process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`)
}

/** Ends the process on the runner's signal; calls end with it. */
export function exitOnSignal(): void {
  process.once('SIGTERM', () => process.exit(0))
  process.once('SIGINT', () => process.exit(0))
}
