// TwiML verbs, run in order.
// Z1: Redirect, Hangup, Reject, and Connect/Dial/Enqueue with an action never come back to the document.
// Z2: an unknown verb is skipped with warning 12200.
// Z3: after a stream ends (or could not be opened) and the call is still up, the Connect action is requested after
//     `afterStream.actionMs`; without an action the next verb runs. So it goes on, stream after stream, as long as the call.
// Z5: Start opens a stream beside the document and goes on; it is a stream of one way, and ends with the call or by Stop.
// Z6: Gather says what is in it, then the caller answers after GATHER_ANSWER_S, or the document goes on after the timeout.
// Z7: a caller leaves a recording of RECORD_S, or of maxLength; without an action the same document is asked again.
// Z8: a call whose plan has a message leaves it at Record; it is told of twice: by the action, also when the caller hung up over it, and by
//     the recording status callback.
// Z4: Say takes 60 ms a character, Play of a remote URL 1 s, of a loopback URL as long as its bytes last.

import { isLoopback } from '../http/rewrite.ts'
import { sendWebhook } from '../http/webhook.ts'
import type { Element } from '../twiml/xml.ts'
import type { Call, CallPlan, Next } from './call.ts'
import { newSid } from './sid.ts'
import { connectStream, forkStream, stopForks } from './stream-verb.ts'
import { parseTwiml } from './twiml-root.ts'

const SAY_MS_PER_CHAR = 60
const PLAY_MS = 1000
const PLAY_MS_MAX = 60_000
const QUEUE_LOOP_MS_MIN = 200
const LOOPS_MAX = 1000
const GATHER_ANSWER_S = 1
const RECORD_S = 3

/** What a verb leads to: the next one, another document, out of the queue, or the end. */
type Step = { kind: 'continue' } | { kind: 'leave' } | Next
const CONTINUE: Step = { kind: 'continue' }

/** Runs all verbs of a document; what follows it. */
export async function runVerbs(call: Call, root: Element): Promise<Next> {
  for (const verb of root.children) {
    const step = await runVerb(call, verb)
    if (step.kind === 'goto' || step.kind === 'end') return step
    if (call.pendingInterruption !== undefined) break
  }
  return { kind: 'end', cause: 'twiml-ended' }
}

async function runVerb(call: Call, verb: Element): Promise<Step> {
  switch (verb.name) {
    case 'Connect':
      return connect(call, verb)
    case 'Redirect':
      call.record.verb('Redirect', verb.text.trim())
      return goTo(call, verb.text.trim(), verb.attributes.method)
    case 'Hangup':
      call.record.verb('Hangup', '')
      return { kind: 'end', cause: 'twiml-hangup' }
    case 'Reject':
      call.record.verb('Reject', verb.attributes.reason ?? 'rejected')
      call.status = verb.attributes.reason === 'busy' ? 'busy' : 'no-answer'
      return { kind: 'end', cause: 'twiml-hangup' }
    case 'Dial':
      return dial(call, verb)
    case 'Enqueue':
      return enqueue(call, verb)
    case 'Leave':
      return { kind: 'leave' }
    case 'Start':
      return start(call, verb)
    case 'Stop':
      call.record.verb('Stop', verb.children[0]?.attributes.name ?? '')
      stopForks(call, verb.children[0]?.attributes.name)
      return CONTINUE
    case 'Gather':
      return gather(call, verb)
    case 'Record':
      return call.plan.message === undefined ? record(call, verb) : recordMessage(call, verb, call.plan.message)
    default:
      return say(call, verb)
  }
}

async function say(call: Call, verb: Element): Promise<Step> {
  const scale = call.exchange.options.verbTimeScale ?? 1
  const loops = Math.min(LOOPS_MAX, Number(verb.attributes.loop ?? 1) || LOOPS_MAX)
  const text = verb.text.trim()
  if (verb.name === 'Say') {
    call.record.verb('Say', text)
    await call.sleep(text.length * SAY_MS_PER_CHAR * scale * loops)
  } else if (verb.name === 'Pause') {
    const seconds = Number(verb.attributes.length ?? 1)
    call.record.verb('Pause', String(seconds))
    await call.sleep((Number.isFinite(seconds) ? seconds : 1) * 1000 * scale)
  } else if (verb.name === 'Play') {
    call.record.verb('Play', text)
    const ms = await playMs(call, text)
    await call.sleep(ms * scale * loops)
  } else call.record.warn(12200, `verb ${verb.name} is not simulated`)
  return CONTINUE
}

async function playMs(call: Call, text: string): Promise<number> {
  if (text === '' || !URL.canParse(text, call.documentUrl)) return 0
  const url = new URL(text, call.documentUrl).href
  if (!isLoopback(url)) return PLAY_MS
  const { options, httpRewrites } = call.exchange
  const answer = await call.unlessInterrupted(
    sendWebhook({
      url,
      method: 'GET',
      params: {},
      authToken: options.authToken,
      rewrites: httpRewrites,
      mayDial: options.mayDial,
    }),
  )
  if (answer === 'interrupted' || answer.kind === 'failed') {
    if (answer !== 'interrupted') call.record.warn(answer.errorCode, `Play: ${answer.text}`)
    return 0
  }
  return Math.min(PLAY_MS_MAX, Buffer.byteLength(answer.body) / 8)
}

function goTo(call: Call, url: string, method: string | undefined, params?: Record<string, string>): Step {
  if (!URL.canParse(url, call.documentUrl)) {
    call.record.warn(11100, `malformed URL ${url}`)
    return { kind: 'end', cause: 'webhook-failed' }
  }
  const absolute = url === '' ? call.documentUrl : new URL(url, call.documentUrl).href
  const verb = method?.toUpperCase() === 'GET' ? 'GET' : 'POST'
  return { kind: 'goto', source: { kind: 'url', url: absolute, method: verb, params } }
}

/** The action request of a verb that has ended, or on to the next verb. */
function after(call: Call, verb: Element, params: Record<string, string>): Step {
  const { action, method } = verb.attributes
  if (action === undefined) return CONTINUE
  return goTo(call, action, method, params)
}

async function connect(call: Call, verb: Element): Promise<Step> {
  const noun = verb.children[0]
  if (noun?.name !== 'Stream') {
    call.record.warn(12200, `Connect ${noun?.name ?? 'nothing'} is not simulated`)
    return CONTINUE
  }
  call.record.verb('Connect', noun.attributes.url ?? '')
  await connectStream(call, noun)
  const { action } = verb.attributes
  if (action === undefined) return CONTINUE
  const isStillUp = await call.sleep(call.exchange.options.afterStream?.actionMs ?? 0)
  if (!isStillUp) return CONTINUE
  call.record.note('action-requested', { url: action, afterStream: call.record.streams })
  return after(call, verb, {})
}

/** [Z5] */
async function start(call: Call, verb: Element): Promise<Step> {
  const noun = verb.children[0]
  if (noun?.name !== 'Stream') {
    call.record.warn(12200, `Start ${noun?.name ?? 'nothing'} is not simulated`)
    return CONTINUE
  }
  call.record.verb('Start', noun.attributes.url ?? '')
  await forkStream(call, noun)
  return CONTINUE
}

/** [Z6] */
async function gather(call: Call, verb: Element): Promise<Step> {
  const { input = 'dtmf', timeout = '5', numDigits, action = '', method } = verb.attributes
  const scale = call.exchange.options.verbTimeScale ?? 1
  call.record.verb('Gather', input)
  for (const child of verb.children) {
    await say(call, child)
    if (call.pendingInterruption !== undefined) return CONTINUE
  }
  const { speech, digits } = call.exchange.options.gather ?? {}
  const keys = call.plan.presses ?? digits
  const pressed = input.includes('dtmf') ? keys?.slice(0, Number(numDigits) || keys.length) : undefined
  const spoken = input.includes('speech') ? speech : undefined
  const hasAnswer = pressed !== undefined || spoken !== undefined
  const seconds = hasAnswer ? GATHER_ANSWER_S : Number(timeout) || 5
  if (!(await call.sleep(seconds * 1_000 * scale)) || !hasAnswer) return CONTINUE
  // A caller who may do both speaks.
  const params: Record<string, string> =
    spoken === undefined ? { Digits: pressed!, FinishedOnKey: '' } : { SpeechResult: spoken, Confidence: '0.9' }
  return goTo(call, action, method, params)
}

/** [Z7] */
async function record(call: Call, verb: Element): Promise<Step> {
  const { maxLength = '3600', action = '', method, recordingStatusCallback } = verb.attributes
  const { accountSid, verbTimeScale = 1 } = call.exchange.options
  const seconds = Math.min(Number(maxLength) || 3_600, RECORD_S)
  call.record.verb('Record', String(seconds))
  if (!(await call.sleep(seconds * 1_000 * verbTimeScale))) return CONTINUE
  const sid = newSid('RE')
  const facts = {
    RecordingSid: sid,
    RecordingUrl: `https://api.twilio.com/2010-04-01/Accounts/${accountSid}/Recordings/${sid}`,
    RecordingDuration: String(seconds),
  }
  if (recordingStatusCallback !== undefined && URL.canParse(recordingStatusCallback, call.documentUrl)) {
    const url = new URL(recordingStatusCallback, call.documentUrl).href
    const told = { ...call.standardParams(), ...facts, RecordingStatus: 'completed' }
    call.callbacks.post({ url, method: 'POST' }, told, 'recording completed')
  }
  return goTo(call, action, method, { ...facts, Digits: '' })
}

async function dial(call: Call, verb: Element): Promise<Step> {
  const number = verb.text.trim() || verb.children.map((noun) => noun.text.trim()).join(',')
  call.record.verb('Dial', number)
  const answer = call.exchange.options.dial?.(number) ?? { status: 'completed', ms: 1000 }
  const wentThrough = await call.sleep(answer.ms)
  if (!wentThrough) return CONTINUE
  const wasBridged = answer.status === 'completed'
  return after(call, verb, {
    DialCallStatus: answer.status,
    DialCallSid: newSid('CA'),
    DialCallDuration: wasBridged ? String(Math.round(answer.ms / 1000)) : '0',
    DialBridged: String(wasBridged),
  })
}

/** Z8. */
async function recordMessage(call: Call, verb: Element, message: NonNullable<CallPlan['message']>): Promise<Step> {
  const { maxLength, action, recordingStatusCallback } = verb.attributes
  const { accountSid, verbTimeScale = 1 } = call.exchange.options
  call.record.verb('Record', maxLength ?? '')
  const lasts = Math.min(message.seconds, Number(maxLength) || 3_600)
  if (!(await call.sleep(lasts * 1_000 * verbTimeScale))) return CONTINUE
  const sid = newSid('RE')
  const recording = {
    RecordingSid: sid,
    RecordingUrl: `https://api.twilio.com/2010-04-01/Accounts/${accountSid}/Recordings/${sid}`,
    RecordingDuration: String(lasts),
  }
  // As the carrier documents it: the callback does not name the parties.
  const told = { AccountSid: accountSid, CallSid: call.callSid, ...recording, RecordingStatus: 'completed' }
  const tell = (): void => {
    if (recordingStatusCallback !== undefined)
      call.callbacks.post({ url: recordingStatusCallback, method: 'POST' }, told, 'recording completed')
  }
  if (message.end === 'key') {
    tell()
    return after(call, verb, { ...recording, Digits: '#' })
  }
  const gone = { ...call.standardParams(), CallStatus: 'completed', ...recording, Digits: 'hangup' }
  if (message.end === 'hang-up' && action !== undefined)
    call.callbacks.post({ url: new URL(action, call.documentUrl).href, method: 'POST' }, gone, 'record action')
  tell()
  call.hangUp()
  return CONTINUE
}

/** A call in a queue; once released it stops listening to the waitUrl. */
type Waiting = { name: string; sizeMax: number; isReleased: boolean }

async function enqueue(call: Call, verb: Element): Promise<Step> {
  const name = verb.text.trim().slice(0, 64)
  const room = call.exchange.waitingRoom
  const sizeMax = Number(verb.attributes.maxQueueSize ?? 1000) || 1000
  call.record.verb('Enqueue', name)
  const waiting: Waiting = { name, sizeMax, isReleased: false }
  const queueSid = room.enter(name, call.callSid, sizeMax, () => {
    waiting.isReleased = true
    call.nudge()
  })
  let result = 'queue-full'
  let queueTime = '0'
  let ended: Next | undefined
  if (queueSid !== undefined) {
    const outcome = await waitInQueue(call, verb, waiting)
    queueTime = room.params(name, call.callSid, sizeMax).QueueTime!
    room.leave(name, call.callSid)
    if (waiting.isReleased) result = 'bridged'
    else if (typeof outcome === 'string') result = outcome
    else ended = outcome
  }
  call.record.note('dequeued', { queue: name, result })
  if (ended !== undefined) return ended
  if (call.pendingInterruption !== undefined) return CONTINUE
  return after(call, verb, { QueueResult: result, QueueSid: queueSid ?? '', QueueTime: queueTime })
}

/** Loops over the waitUrl's TwiML until something ends the waiting. */
async function waitInQueue(call: Call, verb: Element, waiting: Waiting): Promise<'leave' | 'error' | Next> {
  const { waitUrl, waitUrlMethod } = verb.attributes
  for (;;) {
    const begunMs = performance.now()
    if (waitUrl !== undefined && URL.canParse(waitUrl, call.documentUrl)) {
      const url = new URL(waitUrl, call.documentUrl).href
      const params = call.exchange.waitingRoom.params(waiting.name, call.callSid, waiting.sizeMax)
      const answer = await call.unlessInterrupted(
        call.fetchTwiml(url, waitUrlMethod?.toUpperCase() === 'GET' ? 'GET' : 'POST', params),
      )
      if (answer === 'interrupted') return 'error'
      const outcome = answer.kind === 'failed' ? 'error' : await runWaitTwiml(call, answer.body, waiting)
      if (outcome !== undefined) return outcome
    }
    const restMs = Math.max(0, QUEUE_LOOP_MS_MIN - (performance.now() - begunMs))
    const isUndisturbed = await call.sleep(waitUrl === undefined ? 1000 : restMs)
    if (!isUndisturbed || waiting.isReleased) return 'error'
  }
}

async function runWaitTwiml(call: Call, xml: string, waiting: Waiting): Promise<'leave' | 'error' | Next | undefined> {
  const root = parseTwiml(call, xml)
  if (root === undefined) return 'error'
  for (const verb of root.children) {
    const step = await runVerb(call, verb)
    if (step.kind === 'leave') return 'leave'
    if (step.kind !== 'continue') return step
    if (call.pendingInterruption !== undefined || waiting.isReleased) return 'error'
  }
  return undefined
}
