// The systems beside a worker, as one process each: `model` (chat completions with structured output, after DELAY_MS) and `crm` (a receiver).
// Rules:
// AN1: each request is one line of the log before it is answered: when it came, whose call it is about, and what was right about it.
// AN2: a call whose reference begins with HANG is never answered by the model, one with FAIL always with 500.
import { createWriteStream } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exitOnSignal, PORT, printReady } from './settings.ts'

/** One line of the log. `atMs` is of the wall clock, so that processes compare. */
export type AnswererLine = { atMs: number; reference: string; key?: string; isWhole: boolean }

const DELAY_MS = Number(process.env.DELAY_MS ?? '0')
const LOG_FILE = process.env.LOG_FILE ?? '/dev/null'
/** The seeded caller names it in his first words. */
const REFERENCE = /reference is ([A-Z]+\d+)/
const SIGNATURE = /^t=\d+,v1=[0-9a-f]{64}$/

const ANALYSIS = JSON.stringify({
  summary: 'The caller asked for an appointment and got one on Thursday morning. Nothing was left open.',
  intent: 'book an appointment',
  sentiment: 0.4,
  lead_score: 70,
  satisfaction: 4,
  escalated: false,
  disposition: 'booked',
})

const log = createWriteStream(LOG_FILE, { flags: 'a' })
const write = (line: AnswererLine): void => void log.write(`${JSON.stringify(line)}\n`)

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function answerAsModel(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const text = await textOf(request)
  const reference = REFERENCE.exec(text)?.[1] ?? ''
  const asked = JSON.parse(text) as { messages?: unknown[]; response_format?: { json_schema?: { strict?: boolean } } }
  const isWhole =
    request.url === '/v1/chat/completions' &&
    asked.messages?.length === 2 &&
    asked.response_format?.json_schema?.strict === true
  write({ atMs: Date.now(), reference, isWhole })
  if (reference.startsWith('HANG')) return
  const status = reference.startsWith('FAIL') ? 500 : isWhole ? 200 : 400
  const body = JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion', choices: [choiceOf()] })
  setTimeout(() => response.writeHead(status, { 'content-type': 'application/json' }).end(body), DELAY_MS)
}

const choiceOf = () => ({ index: 0, message: { role: 'assistant', content: ANALYSIS }, finish_reason: 'stop' })

async function answerAsReceiver(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const text = await textOf(request)
  const { key, data } = JSON.parse(text) as { key?: string; data?: Record<string, unknown> }
  const { transcript, analysis, durationMs } = data ?? {}
  // The record, the analysis and the signature are all there: one line stands for the three items of the call.
  const isWhole =
    Array.isArray(transcript) &&
    transcript.length > 0 &&
    typeof durationMs === 'number' &&
    (analysis as { analyser?: string } | undefined)?.analyser?.startsWith('model:') === true &&
    SIGNATURE.test(String(request.headers['x-voiceplane-signature'])) &&
    request.headers['idempotency-key'] === key
  write({
    atMs: Date.now(),
    reference: REFERENCE.exec(text)?.[1] ?? '',
    ...(key === undefined ? {} : { key }),
    isWhole,
  })
  setTimeout(() => response.writeHead(204).end(), DELAY_MS)
}

const answer = process.argv[2] === 'model' ? answerAsModel : answerAsReceiver
const server = createServer((request, response) => {
  answer(request, response).catch(() => response.destroy())
}).listen(PORT, '127.0.0.1', () => printReady((server.address() as AddressInfo).port))
server.keepAliveTimeout = 60_000
exitOnSignal()
