// Signed webhooks, as the carrier sends them, while strangers are there. Rules:
// SD1: so many a second, whether the one before was answered or not; one without an answer within ANSWER_MS_MAX counts as unanswered.
// SD2: they are of calls that the pods do not know, so an answer is 200 with an empty document.
import { request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { sign } from '../../sim/twilio/http/signature.ts'

const SIGNED_PER_SECOND = 20
const ANSWER_MS_MAX = 15_000

export type Signed = { sent: number; answered: number; statuses: Record<string, number>; tookMs: number[] }

/** [SD1] Until `isOver`; then the last answers are waited for. */
export async function sendSigned(url: string, authToken: string, isOver: () => boolean): Promise<Signed> {
  const signed: Signed = { sent: 0, answered: 0, statuses: {}, tookMs: [] }
  const open: Promise<void>[] = []
  const beganMs = performance.now()
  while (!isOver()) {
    await sleep(Math.max(0, beganMs + (signed.sent * 1_000) / SIGNED_PER_SECOND - performance.now()))
    open.push(sendOne(url, authToken, signed))
  }
  await Promise.all(open)
  return signed
}

function sendOne(url: string, authToken: string, signed: Signed): Promise<void> {
  const address = `${url}/twilio/status`
  const fields = { CallSid: `CA${(++signed.sent).toString(16).padStart(32, 'f')}`, CallStatus: 'ringing' }
  const body = new URLSearchParams(fields).toString()
  const headers = {
    'Content-Type': 'application/x-www-form-urlencoded',
    'Content-Length': String(body.length),
    'X-Twilio-Signature': sign(authToken, address, fields),
  }
  const beganMs = performance.now()
  return new Promise((resolve) => {
    const request = httpRequest(address, { method: 'POST', headers, agent: false, timeout: ANSWER_MS_MAX })
    const over = (status: string): void => {
      signed.statuses[status] = (signed.statuses[status] ?? 0) + 1
      signed.tookMs.push(performance.now() - beganMs)
      if (status === '200') signed.answered += 1
      resolve()
    }
    request.on('response', (response) => {
      response.resume()
      response.on('end', () => over(String(response.statusCode)))
      response.on('error', () => over('cut'))
    })
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', () => over('cut'))
    request.end(body)
  })
}
