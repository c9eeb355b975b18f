// Turns of the conversation: from what is heard to what is answered. Rules:
// T1: a caller's turn: speech_started, speech_stopped, committed, item added, item done, then (if wanted) a response.
// T2: one response at a time in the conversation; speech over it cancels it when interrupt_response is on.
// T3: the transcript of a caller's turn is the script's expected line, or `(caller spoke N ms)`: the simulator
//     measures sound, it does not understand speech.
// T4: the idle clock starts when the last response has been played, and any speech stops it.
import type { EarReports } from '../hearing/ears.ts'
import { UNKNOWN_CALL } from '../hearing/probe.ts'
import { nowMs, nowUs } from '../kit/clock.ts'
import type { Waiting } from '../kit/wheel.ts'
import type { AudioFormat } from '../voice/fragments.ts'
import { type BadAnswer, callsOf, isSpoken, nextBadAnswer } from './bad-answers.ts'
import type { FunctionTool } from './config.ts'
import { type Item, textTokens } from './conversation.ts'
import { needsApproval } from './mcp.ts'
import { type ResponseEnd, type ResponseRequest, ResponseRun } from './response.ts'
import type { ResponseHost } from './response-host.ts'
import type { Session } from './session.ts'

const TRANSCRIPTION_DELAY_MS = 150
const OUT_OF_BAND_MAX = 8
const OUT_OF_BAND_TEXT = 'The caller asked about their visit, and I answered their questions.'

/** The `response` of response.create, checked. */
export type Overrides = {
  output_modalities?: string[]
  audio?: { output?: { format?: { type: AudioFormat; rate?: number }; voice?: unknown } }
  conversation?: 'auto' | 'none'
  tools?: { type: string }[]
  tool_choice?: unknown
  max_output_tokens?: number | 'inf'
  metadata?: unknown
}

export class Turns implements EarReports {
  readonly #session: Session
  readonly #host: ResponseHost
  #active: ResponseRun | undefined
  readonly #outOfBand = new Set<ResponseRun>()
  #callerItemId: string | undefined
  #speechStartMs = 0
  #idle: Waiting | undefined
  #billedTokens = 0
  /** Frames by which the caller's stream differs from what was sent: lost above 0, extra below. */
  driftFrames = 0

  constructor(session: Session) {
    this.#session = session
    this.#host = hostOf(session, (run, end) => this.#finished(run, end))
  }

  get active(): ResponseRun | undefined {
    return this.#active
  }

  speechStarted(audioStartMs: number): void {
    const session = this.#session
    session.cancelTimer(this.#idle)
    this.#callerItemId = session.ids.next('item')
    this.#speechStartMs = audioStartMs
    const event = {
      type: 'input_audio_buffer.speech_started',
      event_id: session.ids.next('event'),
      audio_start_ms: audioStartMs,
      item_id: this.#callerItemId,
    }
    const responseId = this.#active?.id
    session.send(event, () => session.note('speech_started', { audio_ms: audioStartMs, response: responseId }, nowUs()))
    const detection = session.config.audio.input.turn_detection
    if (detection?.interrupt_response === true) this.#active?.cancel('turn_detected')
  }

  speechStopped(audioEndMs: number): void {
    const session = this.#session
    const itemId = this.#callerItemId ?? session.ids.next('item')
    const event = {
      type: 'input_audio_buffer.speech_stopped',
      event_id: session.ids.next('event'),
      audio_end_ms: audioEndMs,
      item_id: itemId,
    }
    session.send(event, () => session.note('speech_stopped', { audio_ms: audioEndMs }, nowUs()))
    this.commit(itemId, audioEndMs - this.#speechStartMs)
    const detection = session.config.audio.input.turn_detection
    if (detection?.create_response === true && this.#active === undefined) this.respond({})
  }

  probe(seen: { latencyUs: number; call: number; frame: number; driftFrames: number; isFirst: boolean }): void {
    const session = this.#session
    if (session.call === UNKNOWN_CALL) session.call = seen.call
    const t = nowUs()
    session.shared.witness.line(
      `{"t":${t},"event":"probe","session":"${session.id}","call":${seen.call},"frame":${seen.frame},"carrier_to_model_us":${seen.latencyUs}}\n`,
    )
    if (seen.driftFrames === 0) return
    this.driftFrames += seen.driftFrames
    const event = seen.driftFrames > 0 ? 'frames_lost' : 'frames_extra'
    session.note(event, { frames: Math.abs(seen.driftFrames), first_probe: seen.isFirst })
  }

  /** Makes the buffered audio a user item of `ms` of speech. */
  commit(itemId: string, ms: number): void {
    const session = this.#session
    this.#callerItemId = undefined
    const audio = session.ears.take()
    const item: Item = {
      id: itemId,
      object: 'realtime.item',
      type: 'message',
      status: 'completed',
      role: 'user',
      content: [{ type: 'input_audio', transcript: null }],
    }
    const previous_item_id = session.conversation.lastId
    session.conversation.add(item)
    session.noteItem('item_added', item, 'caller')
    session.conversation.setSound(itemId, { kind: 'caller', audio }, ms)
    session.send({
      type: 'input_audio_buffer.committed',
      event_id: session.ids.next('event'),
      previous_item_id,
      item_id: itemId,
    })
    session.send({ type: 'conversation.item.added', event_id: session.ids.next('event'), previous_item_id, item })
    session.send({ type: 'conversation.item.done', event_id: session.ids.next('event'), previous_item_id, item })
    const words = session.dialogue.hearCaller() ?? `(caller spoke ${Math.round(ms)} ms)`
    if (session.config.audio.input.transcription !== null)
      session.after(TRANSCRIPTION_DELAY_MS, () => this.#transcribe(item, words, ms))
  }

  /** Starts a response; what is wrong when it may not. */
  respond(overrides: Overrides): 'started' | 'active' | 'too-many' {
    const session = this.#session
    const isOutOfBand = overrides.conversation === 'none'
    if (!isOutOfBand && this.#active !== undefined) return 'active'
    if (isOutOfBand && this.#outOfBand.size >= OUT_OF_BAND_MAX) return 'too-many'
    session.cancelTimer(this.#idle)
    const bad = isOutOfBand ? undefined : nextBadAnswer(session.shared.faults)
    if (bad !== undefined) session.note('bad_answer', { kind: bad.kind })
    if (bad?.kind === 'never-created') return 'started'
    if (bad?.kind === 'lost') {
      session.act({ kind: 'drop' })
      return 'started'
    }
    const run = new ResponseRun(this.#host, this.#request(overrides, isOutOfBand, bad))
    if (isOutOfBand) this.#outOfBand.add(run)
    else this.#active = run
    session.responses += 1
    run.start(session.shared.options.thinkMs + (bad?.kind === 'slow-audio' ? bad.ms : 0))
    return 'started'
  }

  /** Cancels a response of this id, or the one in the conversation. */
  cancel(responseId: string | undefined): boolean {
    if (responseId === undefined || responseId === this.#active?.id)
      return this.#active?.cancel('client_cancelled') ?? false
    for (const run of this.#outOfBand) if (run.id === responseId) return run.cancel('client_cancelled')
    return false
  }

  close(): void {
    this.#active?.abandon()
    for (const run of this.#outOfBand) run.abandon()
    this.#active = undefined
    this.#outOfBand.clear()
  }

  #request(overrides: Overrides, isOutOfBand: boolean, bad: BadAnswer | undefined): ResponseRequest {
    const { config, conversation, dialogue, shared } = this.#session
    const offered = (overrides.tools ?? config.tools).filter((tool): tool is FunctionTool => tool.type === 'function')
    const tools = (overrides.tool_choice ?? config.tool_choice) === 'none' ? [] : offered
    const servers = config.tools.flatMap((tool) => (tool.type === 'mcp' ? [tool.server_label ?? ''] : []))
    const willFail = shared.faults.rateLimitedResponses > 0
    const outputs = isOutOfBand
      ? [{ kind: 'speech' as const, text: OUT_OF_BAND_TEXT }]
      : willFail
        ? []
        : bad === undefined || isSpoken(bad)
          ? dialogue.next(tools, nowMs(), servers)
          : callsOf(bad, offered)
    const { text, audio } = conversation.tokens
    const fixed = textTokens(config.instructions) + (tools.length === 0 ? 0 : textTokens(JSON.stringify(tools)))
    const cached = Math.min(this.#billedTokens, fixed + text + audio)
    this.#billedTokens = fixed + text + audio
    return {
      outputs,
      bad,
      modality:
        bad?.kind === 'text-only' || (overrides.output_modalities ?? config.output_modalities)[0] === 'text'
          ? 'text'
          : 'audio',
      format: overrides.audio?.output?.format ?? config.audio.output.format,
      voice: overrides.audio?.output?.voice ?? config.audio.output.voice,
      isOutOfBand,
      metadata: overrides.metadata ?? null,
      maxOutputTokens: overrides.max_output_tokens ?? config.max_output_tokens,
      inputTokens: { text: fixed + text, audio, cached },
    }
  }

  #finished(run: ResponseRun, end: ResponseEnd): void {
    const session = this.#session
    session.audioBytesOut += run.audioBytes
    if (this.#outOfBand.delete(run)) return
    if (this.#active === run) this.#active = undefined
    // One that only asked for patience, while a call's output is still awaited, had no call to lose.
    const wasToCall = run.request.outputs.some(({ kind }) => kind === 'call')
    if (end.status !== 'completed' && wasToCall && !run.hasCalled) session.dialogue.callLost()
    const detection = session.config.audio.input.turn_detection
    const idleMs = detection?.type === 'server_vad' ? detection.idle_timeout_ms : null
    if (idleMs === null || session.ears.isSpeaking) return
    const playedMs = run.firstDeltaMs === undefined ? 0 : Math.max(0, run.firstDeltaMs + run.audioMs - nowMs())
    session.cancelTimer(this.#idle)
    this.#idle = session.after(playedMs + idleMs, () => this.#timeOut(idleMs))
  }

  #timeOut(idleMs: number): void {
    const session = this.#session
    if (session.ears.isSpeaking || this.#active !== undefined) return
    const audio_end_ms = session.ears.positionMs
    const itemId = session.ids.next('item')
    const audio_start_ms = Math.max(0, audio_end_ms - idleMs)
    session.send({
      type: 'input_audio_buffer.timeout_triggered',
      event_id: session.ids.next('event'),
      audio_start_ms,
      audio_end_ms,
      item_id: itemId,
    })
    session.note('idle_timeout', { audio_ms: audio_end_ms })
    this.commit(itemId, audio_end_ms - audio_start_ms)
    this.respond({})
  }

  #transcribe(item: Item, words: string, ms: number): void {
    const session = this.#session
    const type = 'conversation.item.input_audio_transcription'
    const at = { item_id: item.id, content_index: 0 }
    item.content = [{ type: 'input_audio', transcript: words }]
    session.send({ type: `${type}.delta`, event_id: session.ids.next('event'), ...at, delta: words })
    const audioTokens = Math.ceil(ms / 100)
    const output = textTokens(words)
    const details = { text_tokens: 0, audio_tokens: audioTokens }
    const usage = {
      type: 'tokens',
      total_tokens: audioTokens + output,
      input_tokens: audioTokens,
      input_token_details: details,
      output_tokens: output,
    }
    session.send({ type: `${type}.completed`, event_id: session.ids.next('event'), ...at, transcript: words, usage })
  }
}

function hostOf(session: Session, finished: (run: ResponseRun, end: ResponseEnd) => void): ResponseHost {
  const { shared } = session
  return {
    ids: session.ids,
    wheel: shared.wheel,
    voices: shared.voices,
    speed: shared.options.speed,
    hasProbes: shared.options.probes,
    conversationId: session.conversationId,
    get call() {
      return session.call
    },
    send: (event) => session.send(event),
    sendText: (text) => session.sendText(text),
    faults: () => shared.faults,
    addItem(item, isOutOfBand) {
      if (isOutOfBand) return null
      const previousId = session.conversation.lastId
      session.conversation.add(item)
      session.noteItem('item_added', item, 'model')
      return previousId
    },
    callMcp({ server, name, argumentsJson, output }, responseId, outputIndex) {
      const configured = session.config.tools.find((tool) => tool.type === 'mcp' && tool.server_label === server)
      const asks = configured?.type === 'mcp' && needsApproval(configured, name)
      return session.mcp.call({ server, name, argumentsJson, output, needsApproval: asks }, responseId, outputIndex)
    },
    setSound(id, sound, ms) {
      session.conversation.hasSpoken = true
      session.conversation.setSound(id, sound, ms)
    },
    takeRateLimit: () => takeRateLimit(session),
    midResponse: (audioMs) => midResponse(session, audioMs),
    note: (event, fields) => session.note(event, fields),
    finished,
  }
}

function takeRateLimit(session: Session): ResponseEnd | undefined {
  const { faults } = session.shared
  if (faults.rateLimitedResponses <= 0) return undefined
  faults.rateLimitedResponses -= 1
  const message = 'Rate limit reached for tokens per minute. Please try again in 2s.'
  return {
    status: 'failed',
    details: { type: 'failed', error: { type: 'tokens', code: 'rate_limit_exceeded', message } },
  }
}

function midResponse(session: Session, audioMs: number): boolean {
  const fault = session.shared.faults.midResponse
  if (fault === null || fault.count <= 0 || audioMs < fault.afterAudioMs) return false
  fault.count -= 1
  session.act(fault.act)
  return fault.act.kind === 'drop' || fault.act.kind === 'close'
}
