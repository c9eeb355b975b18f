// One response, from response.created to response.done. Rules:
// R1: exactly one response.done is sent, whatever happens; nothing but faulty late deltas follows it.
// R2: items come in order, each opened and closed before the next; deltas are due by generation speed from the first.
// R3: a cancelled response closes its open item as incomplete first.
// R4: what was sent is known to the byte, so that truncation can be judged.

import type { Output } from '../dialogue/dialogue.ts'
import { writeProbe } from '../hearing/probe.ts'
import { nowMs, nowUs } from '../kit/clock.ts'
import type { Waiting } from '../kit/wheel.ts'
import { type AudioFormat, BYTES_PER_MS, type Fragment, type Utterance } from '../voice/fragments.ts'
import { type BadAnswer, badEndOf, breaksOffMs } from './bad-answers.ts'
import type { Item, Sound } from './conversation.ts'
import { textTokens } from './conversation.ts'
import {
  argumentPiece,
  type CallPlace,
  callEvents,
  closeCall,
  closeSpeech,
  openCall,
  openSpeech,
  type Place,
} from './ladder.ts'
import type { ResponseHost } from './response-host.ts'
import { rateLimits, usageOf } from './usage.ts'

/** Characters of a call's arguments that the witness log keeps. */
const NOTED_CHARS_MAX = 200

export type ResponseRequest = {
  outputs: Output[]
  modality: 'audio' | 'text'
  format: { type: AudioFormat; rate?: number }
  voice: unknown
  isOutOfBand: boolean
  metadata: unknown
  maxOutputTokens: number | 'inf'
  inputTokens: { text: number; audio: number; cached: number }
  /** What it does instead of answering. */
  bad?: BadAnswer | undefined
}

export type ResponseEnd = {
  status: 'completed' | 'cancelled' | 'failed' | 'incomplete'
  details: Record<string, unknown> | null
}

/** Where a response is. */
type State =
  | { kind: 'thinking'; timer: Waiting | undefined }
  | { kind: 'speaking'; speech: OpenItem; timer: Waiting | undefined }
  | { kind: 'done'; end: ResponseEnd }

type OpenItem = {
  place: Place
  item: Item
  previousId: string | null
  utterance: Utterance
  next: number
  originMs: number
  said: string
  sound: Extract<Sound, { kind: 'assistant' }>
  heads: { audio: string; words: string }
}

export class ResponseRun {
  readonly id: string
  readonly request: ResponseRequest
  readonly #host: ResponseHost
  readonly #items: Item[] = []
  #state: State = { kind: 'thinking', timer: undefined }
  #nextOutput = 0
  /** What runs once the response is done. */
  readonly #afterwards: (() => void)[] = []
  #textTokensOut = 0
  /** Audio sent, ms. */
  audioMs = 0
  audioBytes = 0
  firstDeltaMs: number | undefined
  /** Whether a function call was put out whole. */
  hasCalled = false

  constructor(host: ResponseHost, request: ResponseRequest) {
    this.#host = host
    this.request = request
    this.id = host.ids.next('resp')
  }

  get isDone(): boolean {
    return this.#state.kind === 'done'
  }

  /** Announces the response and begins after `thinkMs`. */
  start(thinkMs: number): void {
    this.#host.send({
      type: 'response.created',
      event_id: this.#host.ids.next('event'),
      response: this.#describe('in_progress', null, false),
    })
    this.#host.send(rateLimits(this.#host.ids))
    const { bad } = this.request
    const failure = this.#host.takeRateLimit() ?? (breaksOffMs(bad) === undefined ? badEndOf(bad) : undefined)
    this.#host.note('response_created', { response: this.id, think_ms: thinkMs, bad: bad?.kind })
    if (bad?.kind === 'silence') return
    // The sound is made while the model "thinks".
    const { format } = this.request
    for (const output of this.request.outputs) {
      if (output.kind === 'speech') this.#host.voices.utterance(output.text, format.type).catch(() => undefined)
    }
    const timer = this.#host.wheel.after(thinkMs, () =>
      failure === undefined ? this.#advance() : this.#finish(failure),
    )
    if (this.#state.kind === 'thinking') this.#state.timer = timer
  }

  /** Ends the response early; `reason` as in status_details. False when it was done. */
  cancel(reason: 'turn_detected' | 'client_cancelled'): boolean {
    const state = this.#state
    if (state.kind === 'done') return false
    this.#host.wheel.cancel(state.timer)
    if (state.kind === 'speaking') this.#closeItem(state.speech, 'incomplete')
    this.#finish({ status: 'cancelled', details: { type: 'cancelled', reason } })
    if (state.kind === 'speaking') this.#sendLate(state.speech)
    return true
  }

  /** The session is gone: stops without a word. */
  abandon(): void {
    if (this.#state.kind === 'done') return
    this.#host.wheel.cancel(this.#state.timer)
    this.#state = { kind: 'done', end: { status: 'cancelled', details: null } }
  }

  #advance(): void {
    while (this.#state.kind !== 'done') {
      const output = this.request.outputs[this.#nextOutput]
      if (output === undefined) {
        this.#finish({ status: 'completed', details: null })
        return
      }
      this.#nextOutput += 1
      if (output.kind === 'speech') {
        this.#beginSpeech(output.text)
        return
      }
      if (output.kind === 'mcp') {
        const { item, run } = this.#host.callMcp(output, this.id, this.#items.length)
        this.#items.push(item)
        this.#afterwards.push(run)
        this.hasCalled = true
        continue
      }
      const { bad } = this.request
      const slowMs = bad?.kind === 'slow-arguments' ? bad.ms : 0
      if (this.#call(output, slowMs) === 'going-on') return
    }
  }

  #beginSpeech(text: string): void {
    if (this.#state.kind === 'thinking') this.#state.timer = undefined
    this.#state = { kind: 'thinking', timer: undefined }
    this.#host.voices.utterance(text, this.request.format.type).then(
      (utterance) => this.#openSpeech(utterance),
      (error: unknown) =>
        this.#finish({
          status: 'failed',
          details: { type: 'failed', error: { type: 'server_error', code: 'internal_error', message: String(error) } },
        }),
    )
  }

  #openSpeech(utterance: Utterance): void {
    if (this.#state.kind !== 'thinking') return
    const { ids } = this.#host
    const item: Item = {
      id: ids.next('item'),
      object: 'realtime.item',
      type: 'message',
      status: 'in_progress',
      role: 'assistant',
      content: [],
    }
    const place: Place = { response_id: this.id, item_id: item.id, output_index: this.#items.length, content_index: 0 }
    this.#items.push(item)
    const previousId = this.#host.addItem(item, this.request.isOutOfBand)
    openSpeech(this.#host, place, item, previousId, this.request)
    const sound = { kind: 'assistant' as const, utterance, probe: undefined, sentBytes: 0, format: utterance.format }
    const where = JSON.stringify(place).slice(1, -1)
    const heads = {
      audio: `{"type":"response.output_audio.delta",${where},"event_id":"`,
      words: `{"type":"${this.request.modality === 'audio' ? 'response.output_audio_transcript.delta' : 'response.output_text.delta'}",${where},"event_id":"`,
    }
    const speech: OpenItem = { place, item, previousId, utterance, next: 0, originMs: nowMs(), said: '', sound, heads }
    this.#state = { kind: 'speaking', speech, timer: undefined }
    this.#pump()
  }

  #pump(): void {
    const state = this.#state
    if (state.kind !== 'speaking') return
    const { speech } = state
    const bytesPerMs = BYTES_PER_MS[speech.utterance.format] * this.#host.speed
    for (;;) {
      const fragment = speech.utterance.fragments[speech.next]
      const dueByte = fragment?.startByte ?? speech.utterance.audio.length
      const waitMs = speech.originMs + dueByte / bytesPerMs - nowMs()
      if (waitMs > 0.5) {
        state.timer = this.#host.wheel.after(waitMs, () => this.#pump())
        return
      }
      if (fragment === undefined) break
      speech.next += 1
      this.#sendFragment(speech, fragment)
      if (this.#host.midResponse(this.audioMs)) return
      if (this.audioMs >= (breaksOffMs(this.request.bad) ?? Number.POSITIVE_INFINITY)) {
        this.#closeItem(speech, 'incomplete')
        this.#finish(badEndOf(this.request.bad)!)
        return
      }
    }
    this.#closeItem(speech, 'completed')
    this.#state = { kind: 'thinking', timer: undefined }
    this.#advance()
  }

  #sendFragment(speech: OpenItem, fragment: Fragment): void {
    const { ids } = this.#host
    if (fragment.words !== '""') {
      speech.said += JSON.parse(fragment.words) as string
      this.#host.sendText(`${speech.heads.words}${ids.next('event')}","delta":${fragment.words}}`)
    }
    if (this.request.modality === 'text') return
    const isFirst = this.firstDeltaMs === undefined
    this.firstDeltaMs ??= nowMs()
    let { audio, bytes } = fragment
    if (isFirst && this.#host.hasProbes && speech.utterance.format === 'audio/pcmu') {
      speech.sound.probe = writeProbe({ sentUs: nowUs(), call: this.#host.call, frame: 0 })
      audio = `${Buffer.concat([speech.sound.probe, speech.utterance.audio.subarray(0, bytes)]).toString('base64')}"}`
      bytes += speech.sound.probe.length
    }
    this.#host.sendText(`${speech.heads.audio}${ids.next('event')}","delta":"${audio}`)
    speech.sound.sentBytes += bytes
    this.audioBytes += bytes
    this.audioMs = this.audioBytes / BYTES_PER_MS[speech.utterance.format]
    if (isFirst) this.#host.setSound(speech.item.id, speech.sound, 0)
  }

  #sendLate(speech: OpenItem): void {
    for (let left = this.#host.faults().lateDeltas; left > 0; left--) {
      const fragment = speech.utterance.fragments[speech.next++]
      if (fragment === undefined) return
      this.#sendFragment(speech, fragment)
    }
  }

  #closeItem(speech: OpenItem, status: 'completed' | 'incomplete'): void {
    const { item, said } = speech
    const isAudio = this.request.modality === 'audio'
    item.status = status
    item.content = [isAudio ? { type: 'output_audio', transcript: said } : { type: 'output_text', text: said }]
    this.#textTokensOut += textTokens(said)
    if (isAudio) this.#host.setSound(item.id, speech.sound, speech.sound.sentBytes / BYTES_PER_MS[speech.sound.format])
    closeSpeech(this.#host, speech, this.request)
  }

  /** `going-on`: its arguments come over `slowMs`, and the response goes on after them. */
  #call(output: Extract<Output, { kind: 'call' }>, slowMs: number): 'done' | 'going-on' {
    const { ids } = this.#host
    const item: Item = {
      id: ids.next('item'),
      object: 'realtime.item',
      type: 'function_call',
      status: 'in_progress',
      name: output.name,
      call_id: ids.next('call'),
      arguments: '',
    }
    const outputIndex = this.#items.length
    this.#items.push(item)
    const previousId = this.#host.addItem(item, this.request.isOutOfBand)
    this.#textTokensOut += textTokens(output.argumentsJson) + textTokens(output.name)
    this.hasCalled = true
    const { isOutOfBand } = this.request
    const place = { responseId: this.id, outputIndex, item, previousId, isOutOfBand }
    const args = output.argumentsJson.slice(0, NOTED_CHARS_MAX)
    this.#host.note('function_call', { response: this.id, name: output.name, call_id: item.call_id!, arguments: args })
    if (slowMs === 0) {
      callEvents(this.#host, place, output.argumentsJson)
      return 'done'
    }
    openCall(this.#host, place)
    this.#dripArguments(place, output.argumentsJson, slowMs, 0)
    return 'going-on'
  }

  /** The arguments, a character at a time, evenly over `slowMs`. */
  #dripArguments(place: CallPlace, argumentsJson: string, slowMs: number, at: number): void {
    if (this.#state.kind !== 'thinking') return
    if (at >= argumentsJson.length) {
      closeCall(this.#host, place, argumentsJson)
      this.#advance()
      return
    }
    argumentPiece(this.#host, place, argumentsJson.slice(at, at + 1))
    const everyMs = slowMs / argumentsJson.length
    const again = () => this.#dripArguments(place, argumentsJson, slowMs, at + 1)
    this.#state = { kind: 'thinking', timer: this.#host.wheel.after(everyMs, again) }
  }

  #finish(end: ResponseEnd): void {
    if (this.#state.kind === 'done') return
    this.#state = { kind: 'done', end }
    this.#host.send({
      type: 'response.done',
      event_id: this.#host.ids.next('event'),
      response: this.#describe(end.status, end.details, true),
    })
    this.#host.note('response_done', {
      response: this.id,
      status: end.status,
      reason: String(end.details?.reason ?? ''),
      audio_bytes: this.audioBytes,
      audio_ms: Math.floor(this.audioMs),
    })
    this.#host.finished(this, end)
    for (const run of this.#afterwards) run()
  }

  #describe(status: string, details: Record<string, unknown> | null, isFinal: boolean): Record<string, unknown> {
    const { request } = this
    const out = { text: this.#textTokensOut, audio: Math.ceil(this.audioMs / 50) }
    return {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details: details,
      output: this.#items,
      conversation_id: request.isOutOfBand ? null : this.#host.conversationId,
      output_modalities: [request.modality],
      max_output_tokens: request.maxOutputTokens,
      audio: { output: { format: request.format, voice: request.voice } },
      usage: isFinal ? usageOf(request.inputTokens, out) : null,
      metadata: request.metadata ?? null,
    }
  }
}
