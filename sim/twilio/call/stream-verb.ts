// <Connect><Stream>: handshake, life and end of the bidirectional media stream of a call.
// I1: a query string never arrives: it is cut off with a warning; the scheme must be wss, or ws on this machine.
// I2: the upgrade is signed over the announced URL, whatever is dialled.
// I3: the stream's callbacks say stream-started, then stream-stopped or stream-error.
// I4: a call's later streams are opened after `afterStream.openMs`, and are told apart by their number in the log (1, 2, …).
// I6: streams of Start run beside the document; the server's audio on them is not played, and their end is no drop.
// I7: a refused handshake names the announced and the dialled address.
// I5: an interrupted call ends its stream with stop and close before anything else happens.

import { dialUrl, isLoopback, NOT_DIALLED } from '../http/rewrite.ts'
import { sign } from '../http/signature.ts'
import { stopReading } from '../media/reading-stop.ts'
import { MediaStream } from '../media/stream.ts'
import type { StreamEnd } from '../report.ts'
import type { Element } from '../twiml/xml.ts'
import { nowMs } from '../wire/clock.ts'
import { openWebSocket } from '../wire/upgrade.ts'
import type { Call } from './call.ts'
import { newSid } from './sid.ts'

const PARAMETER_CHARS_MAX = 500

type StreamUrl = { kind: 'url'; announced: string; dialled: string } | { kind: 'refused'; code: number; text: string }

function streamUrl(call: Call, noun: Element): StreamUrl {
  const raw = noun.attributes.url ?? ''
  if (!URL.canParse(raw, call.documentUrl)) return { kind: 'refused', code: 31923, text: `malformed URL ${raw}` }
  const isRelative = !/^[a-z]+:\/\//i.test(raw)
  const resolved = isRelative ? new URL(raw, call.documentUrl).href.replace(/^http/, 'ws') : raw
  const announced = resolved.replace(/[?#].*$/, '')
  if (announced !== resolved) call.record.warn(31920, 'query string of the Stream URL cut off')
  const { fixedStreamUrl } = call.faults
  if (fixedStreamUrl !== undefined) return { kind: 'url', announced: fixedStreamUrl, dialled: fixedStreamUrl }
  const { mayDial, streamUrl } = call.exchange.options
  const dialled =
    streamUrl === undefined ? dialUrl(announced, call.exchange.wsRewrites) : overridden(announced, streamUrl)
  if (mayDial?.(dialled) === false) return { kind: 'refused', code: 31900, text: `${dialled} ${NOT_DIALLED}` }
  const isAllowed = announced.startsWith('wss://') || (announced.startsWith('ws://') && isLoopback(announced))
  if (!isAllowed) return { kind: 'refused', code: 31922, text: `scheme is not wss: ${announced}` }
  return { kind: 'url', announced, dialled }
}

/** The address to dial instead; one without a path keeps the announced path. */
function overridden(announced: string, streamUrl: string): string {
  const target = new URL(streamUrl)
  if (target.pathname === '/') target.pathname = new URL(announced).pathname
  return target.href
}

function upgradeSignature(call: Call, announced: string): string {
  const { authToken } = call.exchange.options
  const wrong = call.faults.wrongSignature
  const token = wrong === 'upgrade' || wrong === 'both' ? `not-${authToken}` : authToken
  const signedUrl = call.faults.httpsSignedUpgrade === true ? announced.replace(/^ws/, 'http') : announced
  return sign(token, signedUrl)
}

function customParameters(call: Call, noun: Element): Record<string, string> {
  const parameters: Record<string, string> = {}
  for (const child of noun.children) {
    const { name, value } = child.attributes
    if (child.name !== 'Parameter' || name === undefined || value === undefined) {
      call.record.warn(12200, `${child.name} inside Stream`)
    } else if (name.length + value.length >= PARAMETER_CHARS_MAX) {
      call.record.warn(12200, `Parameter ${name} is too long`)
    } else parameters[name] = value
  }
  return parameters
}

/** Opens the stream and waits for its end; on return the stream is over, the call perhaps not. */
export async function connectStream(call: Call, noun: Element): Promise<void> {
  const { record } = call
  const streamSid = newSid('MZ')
  const tell = (event: string, error?: string): void => tellStream(call, noun, streamSid, event, error)
  const url = streamUrl(call, noun)
  if (noun.attributes.track !== undefined && noun.attributes.track !== 'inbound_track') {
    return failed(call, tell, 31941, `track ${noun.attributes.track}`)
  }
  if (url.kind === 'refused') return failed(call, tell, url.code, url.text)
  const openMs = call.exchange.options.afterStream?.openMs ?? 0
  if (record.streams > 0 && !(await call.sleep(openMs))) return
  const signature = upgradeSignature(call, url.announced)
  const upgrade = await openWebSocket(url.announced, url.dialled, signature)
  if (upgrade.kind === 'refused') return failed(call, tell, upgrade.errorCode, describeRefusal(upgrade.text, url))
  record.streamOpened()
  record.setUpMs ??= nowMs() - record.webhookSentMs
  record.note('stream-opened', { streamSid, url: url.announced, stream: record.streams })
  tell('stream-started')
  const { accountSid } = call.exchange.options
  const identity = { accountSid, callSid: call.callSid, streamSid, customParameters: customParameters(call, noun) }
  const stream = new MediaStream({ ...identity, number: record.streams }, upgrade.socket, record, call.faults)
  stream.begin(upgrade.head)
  if (call.faults.stopReading !== undefined) stopReading(upgrade.socket, call.faults.stopReading, record)
  call.leg.stream = stream
  call.emit('stream-opened', streamSid)
  if (call.faults.reuseStreamUrl === true) void reuse(call, url.announced, url.dialled, signature)
  const outcome = await call.unlessInterrupted(stream.ended)
  if (outcome === 'interrupted') {
    const isHangUp = call.pendingInterruption?.kind === 'hang-up'
    stream.end((isHangUp ? call.faults.endOfStream : undefined) ?? 'stop-and-close', 'carrier')
  }
  const end = await stream.ended
  call.leg.stream = undefined
  closed(call, tell, end)
}

/** [I6] Opens a stream beside the running document; whatever becomes of it, the document goes on. */
export async function forkStream(call: Call, noun: Element): Promise<void> {
  const { record } = call
  const streamSid = newSid('MZ')
  const tell = (event: string, error?: string): void => tellStream(call, noun, streamSid, event, error)
  const url = streamUrl(call, noun)
  if (url.kind === 'refused') return failed(call, tell, url.code, url.text)
  const upgrade = await openWebSocket(url.announced, url.dialled, upgradeSignature(call, url.announced))
  if (upgrade.kind === 'refused') return failed(call, tell, upgrade.errorCode, describeRefusal(upgrade.text, url))
  if (noun.attributes.track !== undefined && noun.attributes.track !== 'inbound_track')
    record.warn(31941, `track ${noun.attributes.track}: only the caller's track is simulated`)
  record.streamOpened()
  const number = record.streams
  record.setUpMs ??= nowMs() - record.webhookSentMs
  record.note('stream-opened', { streamSid, url: url.announced, stream: number })
  tell('stream-started')
  const { accountSid } = call.exchange.options
  const identity = { accountSid, callSid: call.callSid, streamSid, customParameters: customParameters(call, noun) }
  const stream = new MediaStream({ ...identity, number }, upgrade.socket, record, call.faults)
  stream.begin(upgrade.head)
  call.leg.forks.push({ name: noun.attributes.name ?? streamSid, stream })
  void stream.ended.then((end) => {
    call.leg.forks = call.leg.forks.filter((fork) => fork.stream !== stream)
    record.streamEnds.push(end)
    record.note('stream-closed', { ...end, stream: number })
    tell('stream-stopped')
  })
}

/** Ends the streams beside the document, or the one of this name. */
export function stopForks(call: Call, name?: string): void {
  for (const fork of [...call.leg.forks])
    if (name === undefined || fork.name === name) fork.stream.end('stop-and-close', 'carrier')
}

/** [I7] Adds where the stream was announced and dialled, for whoever has to mend it. */
function describeRefusal(text: string, { announced, dialled }: { announced: string; dialled: string }): string {
  return announced === dialled ? `${announced}: ${text}` : `${announced} (dialled at ${dialled}): ${text}`
}

function closed(call: Call, tell: (event: string, error?: string) => void, end: StreamEnd): void {
  const { record } = call
  const isExpected = call.plan.caller.isEndedByAgent === true && end.closeCode === 1000
  record.streamClosed(end, isExpected)
  record.note('stream-closed', { ...end, stream: record.streams })
  call.emit('stream-closed', end)
  if (end.errorCode !== undefined && end.errorCode !== 31921) tell('stream-error', `${end.errorCode} ${end.text}`)
  else tell('stream-stopped')
}

function failed(call: Call, tell: (event: string, error?: string) => void, code: number, text: string): void {
  call.record.warn(code, text)
  call.record.wasDropped = true
  call.record.streamEnds.push({ by: 'handshake', errorCode: code, text })
  call.record.note('stream-refused', { code, text })
  tell('stream-error', `${code} ${text}`)
}

async function reuse(call: Call, announced: string, dialled: string, signature: string): Promise<void> {
  const second = await openWebSocket(announced, dialled, signature)
  call.record.reuseStatus = second.kind === 'open' ? 101 : (second.status ?? 0)
  call.record.note('stream-url-reused', { status: call.record.reuseStatus })
  if (second.kind === 'open') second.socket.destroy()
}

function tellStream(call: Call, noun: Element, streamSid: string, event: string, error: string | undefined): void {
  const { statusCallback, statusCallbackMethod, name } = noun.attributes
  if (statusCallback === undefined || !URL.canParse(statusCallback, call.documentUrl)) return
  const params = {
    AccountSid: call.exchange.options.accountSid,
    CallSid: call.callSid,
    StreamSid: streamSid,
    StreamName: name ?? streamSid,
    StreamEvent: event,
    ...(error !== undefined && { StreamError: error }),
    Timestamp: new Date().toISOString(),
  }
  const url = new URL(statusCallback, call.documentUrl).href
  call.callbacks.post({ url, method: statusCallbackMethod?.toUpperCase() === 'GET' ? 'GET' : 'POST' }, params, event)
}
