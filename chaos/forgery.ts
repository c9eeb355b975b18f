// Requests that are not the carrier's: forged, altered and replayed. Rules:
// FO1: each is made from a right one by one change that a forger could make; a right one among them would be a fault of this file.
// FO2: accepted means: a webhook answered with 2xx, or an upgrade answered with 101.
import { request as httpRequest } from 'node:http'
import type { Random } from '../load/plan/arrivals.ts'
import { sign } from '../sim/twilio/http/signature.ts'
import { openWebSocket } from '../sim/twilio/wire/upgrade.ts'

const AT_ONCE = 40
const ANSWER_MS_MAX = 10_000

export type Forgeries = { sent: number; accepted: number; unanswered: number; statuses: Record<string, number> }

type ForgeryOptions = {
  baseUrl: string
  authToken: string
  count: number
  random: Random
  /** Stream URLs whose token was used already. */
  usedStreams: readonly string[]
}

/** [FO1] Sends `count` forgeries, AT_ONCE at a time. */
export async function sendForgeries(options: ForgeryOptions): Promise<Forgeries> {
  const seen: Forgeries = { sent: 0, accepted: 0, unanswered: 0, statuses: {} }
  const worker = async (): Promise<void> => {
    while (seen.sent < options.count) {
      seen.sent++
      const status = options.random() < 0.5 ? await forgeWebhook(options) : await forgeUpgrade(options)
      if (status === undefined) seen.unanswered++
      else if (status === 101 || (status >= 200 && status < 300)) seen.accepted++
      seen.statuses[String(status)] = (seen.statuses[String(status)] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return seen
}

const PATHS = ['/twilio/voice', '/twilio/next', '/twilio/status', '/twilio/voice?pod=pod-1']

async function forgeWebhook({ baseUrl, authToken, random }: ForgeryOptions): Promise<number | undefined> {
  const url = baseUrl + PATHS[Math.floor(random() * PATHS.length)]!
  const params = {
    CallSid: `CA${hex(random, 32)}`,
    AccountSid: `AC${'0'.repeat(32)}`,
    CallStatus: 'ringing',
    From: '+15005550006',
    To: '+15550100000',
    Direction: 'inbound',
  }
  const right = sign(authToken, url, params)
  const ways: (() => [string | undefined, Record<string, string>])[] = [
    () => [undefined, params],
    () => ['', params],
    () => [flip(right, random), params],
    () => [sign(`${authToken}x`, url, params), params],
    () => [sign(authToken, `${url}/`, params), params],
    () => [right, { ...params, From: '+15005550007' }],
    () => [right, { ...params, Extra: 'x' }],
    () => [sign(authToken, url, {}), params],
  ]
  const [signature, body] = ways[Math.floor(random() * ways.length)]!()
  return post(url, new URLSearchParams(body).toString(), signature)
}

async function forgeUpgrade({ baseUrl, authToken, random, usedStreams }: ForgeryOptions): Promise<number | undefined> {
  const base = baseUrl.replace(/^http/, 'ws')
  const used = usedStreams[Math.floor(random() * usedStreams.length)] ?? `${base}/media/pod-1/CA${hex(random, 32)}/none`
  const [, , , , pod = 'pod-1', callSid = '', token = ''] = used.split('/')
  const ways: (() => [string, boolean])[] = [
    // The right signature, a token that was used.
    () => [used, true],
    () => [`${base}/media/${pod}/${callSid}/${flip(token, random)}`, true],
    () => [`${base}/media/${pod}/CA${hex(random, 32)}/${token}`, true],
    () => [`${base}/media/${pod}/${callSid}/${hex(random, 40)}`, true],
    () => [used, false],
    () => [`${base}/media/${pod}/${callSid}/`, true],
  ]
  const [url, isSigned] = ways[Math.floor(random() * ways.length)]!()
  const upgrade = await openWebSocket(url, url, isSigned ? sign(authToken, url) : sign('another-token-0123456', url))
  if (upgrade.kind === 'refused') return upgrade.status
  upgrade.socket.destroy()
  return 101
}

function post(url: string, body: string, signature: string | undefined): Promise<number | undefined> {
  return new Promise((resolve) => {
    const headers: Record<string, string> = {
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': String(Buffer.byteLength(body)),
    }
    if (signature !== undefined) headers['X-Twilio-Signature'] = signature
    const request = httpRequest(url, { method: 'POST', headers, agent: false, timeout: ANSWER_MS_MAX }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(undefined))
    request.end(body)
  })
}

function hex(random: Random, digits: number): string {
  return Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('')
}

/** The text with one character changed, never its last: the spare bits of base64 lie there. */
function flip(text: string, random: Random): string {
  if (text.length < 3) return `${text}A`
  const at = Math.floor(random() * (text.length - 3))
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
}
