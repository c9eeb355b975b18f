// The seam between the agents SDK and a call: RealtimeSession sees a transport, the call keeps the audio. Rules:
// AT1: no audio passes here. The SDK gets the events it acts on, and nothing else (AGENT_EVENTS).
// AT2: `response.create` of the SDK goes to the call's own sequencer; `interrupt` to the call's own barge-in.
// AT3: `conversation.item.retrieve` (the SDK asks for items with their audio) is never sent; what it wanted to know is given from here.
// AT4: the SDK's history is capped: beyond HISTORY_MAX_ITEMS the oldest item is deleted from it, not from the conversation.
// AT5: a call of a tool that no agent has is answered with an error and a response is asked for.
// AT6: whoever listens to raw events gets them all but audio, also those that the SDK has no use for; where nobody listens they are
//      dropped unread.
// AT7: a tool's answer of more than OUTPUT_MAX_CHARS is cut there, and ends with a word that it was cut: the provider refuses larger items.
// AT8: an event that the SDK cannot read is left out, and logged by its type; an approval among them is refused in words. It costs no call.
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  OpenAIRealtimeBase,
  type RealtimeClientMessage,
  type RealtimeSession,
  type RealtimeSessionConfig,
  type RealtimeTransportLayer,
  type RealtimeTransportLayerConnectOptions,
} from '@openai/agents-realtime'
import type { ResponseRequest } from '../../call/ports.ts'
import { whereOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import { clip } from '../../kit/text.ts'
import { isWholeConfig, onlyGiven } from './session-change.ts'
import { count, record, type ServerEvent, text } from './wire.ts'

const HISTORY_MAX_ITEMS = 200
/** What a model can make use of, with room to spare. */
export const OUTPUT_MAX_CHARS = 100_000
const OUTPUT_CUT = '\n(This answer was too long and was cut here. What follows is not known to you.)'
/** A guardrail looks at the transcript each 100 characters (the SDK's default); finer deltas only cost. */
const TRANSCRIPT_DELTA_MIN_CHARS = 50
/** Events that wait while a call is taken under another agent; beyond it the wait is over. */
const HELD_MAX = 500

type SdkUsage = RealtimeSession['usage']
type UsageClass = new (counts: object) => SdkUsage
/** The SDK does not export its class: it is taken from the first usage that the SDK itself tells. */
let usageClass: UsageClass | undefined

/** What the transport asks of its owner. */
export interface AgentSink {
  /** A configuration (wire shape) is to be in force: the agent's whole one, or a change of some fields by code. */
  configure(session: Record<string, unknown>, extent: 'whole' | 'part'): void
  /** A client event to send as it is. */
  sendClientEvent(event: Record<string, unknown>): void
  wantResponse(request: ResponseRequest): void
  wantInterrupt(): void
  toolAnswered(toolCallId: string, name: string, output: string, respond: boolean): void
  /** Has the model an answer to this call already? */
  isToolAnswered(toolCallId: string): boolean
}

/** The server events that the SDK acts on, or that its users listen to as `transport_event`. */
const AGENT_EVENTS = new Set([
  'error',
  'response.created',
  'response.done',
  'response.output_audio.done',
  'response.output_text.delta',
  'conversation.item.done',
  'conversation.item.deleted',
  'conversation.item.input_audio_transcription.completed',
  'input_audio_buffer.speech_started',
])

/** Of these the SDK's session sees nothing but the raw event (it reads transcriptions from there). */
const ONLY_OBSERVED = new Set([
  'conversation.item.input_audio_transcription.completed',
  'input_audio_buffer.speech_started',
])

/** Is this event one that the SDK is to see? */
export function isForAgent(event: ServerEvent): boolean {
  if (AGENT_EVENTS.has(event.type)) return true
  if (event.type === 'response.output_item.done') return record(event.item).type !== 'message'
  return event.type.startsWith('mcp_list_tools') || event.type.startsWith('response.mcp_call')
}

export class AgentTransport extends OpenAIRealtimeBase implements RealtimeTransportLayer {
  readonly #sink: AgentSink
  readonly #log: Log
  readonly #needsTranscriptDeltas: boolean
  readonly #toolUnderway = new AsyncLocalStorage<string>()
  #status: 'connected' | 'disconnected' | 'connecting' | 'disconnecting' = 'disconnected'
  #itemIds: string[] = []
  #held: ServerEvent[] | undefined
  #listeners = 0
  #delta: { itemId: string; responseId: string; text: string } | undefined

  constructor(sink: AgentSink, options: { needsTranscriptDeltas: boolean; model: string; log: Log }) {
    super({ model: options.model })
    this.#sink = sink
    this.#log = options.log
    this.#needsTranscriptDeltas = options.needsTranscriptDeltas
  }

  override get status(): 'connected' | 'disconnected' | 'connecting' | 'disconnecting' {
    return this.#status
  }

  /** A listener of the agent's code that throws must not end the process: events come from a socket (AR2). */
  override emit: OpenAIRealtimeBase['emit'] = (type, ...args) => {
    if (type === 'function_call') {
      const { callId } = args[0] as { callId: string }
      return this.#toolUnderway.run(callId, () => this.#emit(type, ...args))
    }
    return this.#emit(type, ...args)
  }

  /** The tool call whose taking, by the SDK, the present moment belongs to. */
  get toolUnderway(): string | undefined {
    return this.#toolUnderway.getStore()
  }

  readonly #emit: OpenAIRealtimeBase['emit'] = (type, ...args) => {
    if (type === 'usage_update' && usageClass === undefined)
      usageClass = (args[0] as SdkUsage).constructor as UsageClass
    try {
      return super.emit(type, ...args)
    } catch {
      this.#log.warn({ event: String(type) }, 'a listener of the agent threw')
      return true
    }
  }

  /** The carrier decides about muting; the SDK is told that it cannot. */
  override get muted(): boolean | null {
    return null
  }

  override async connect(options: RealtimeTransportLayerConnectOptions): Promise<void> {
    this.#status = 'connected'
    this.emit('connection_change', 'connected')
    this.#sink.configure(this.buildSessionPayload(options.initialSessionConfig ?? {}), 'whole')
  }

  /** A session.update of the SDK (handoff, or the user's own): wire shape, to be put in force. */
  override updateSessionConfig(config: Partial<RealtimeSessionConfig>): void {
    const extent = isWholeConfig(config) ? 'whole' : 'part'
    const payload = this.buildSessionPayload(config)
    this.#sink.configure(extent === 'whole' ? payload : onlyGiven(payload, config), extent)
  }

  override sendEvent(event: RealtimeClientMessage): void {
    if (event.type === 'conversation.item.retrieve') return
    if (event.type === 'session.update') {
      this.#sink.configure(record(event.session), 'part')
      return
    }
    if (event.type === 'response.create') {
      this.requestResponse(event.response === undefined ? undefined : record(event.response))
      return
    }
    this.#sink.sendClientEvent(event)
  }

  override requestResponse(response?: Record<string, unknown>): void {
    if (response === undefined) {
      this.#sink.wantResponse({})
      return
    }
    const { instructions, ...extra } = response
    const hasExtra = Object.keys(extra).length > 0
    this.#sink.wantResponse({
      ...(typeof instructions === 'string' ? { instructions } : {}),
      ...(hasExtra ? { extra } : {}),
    })
  }

  override sendFunctionCallOutput(
    toolCall: Parameters<OpenAIRealtimeBase['sendFunctionCallOutput']>[0],
    wholeOutput: string,
    startResponse = true,
  ): void {
    const output = this.#fitting(toolCall.name, wholeOutput)
    // One that was answered for is told otherwise (tool-calls.ts).
    if (!this.#sink.isToolAnswered(toolCall.callId)) super.sendFunctionCallOutput(toolCall, output, false)
    // The SDK says so of a tool that no agent has, and asks for no response: the caller would wait for ever.
    const isUnknown = !startResponse && output === `Tool ${toolCall.name} not found`
    if (isUnknown) this.#log.warn({ code: 'TOOL_UNKNOWN' }, 'the model called a tool that no agent has')
    this.#sink.toolAnswered(toolCall.callId, toolCall.name, output, startResponse || isUnknown)
  }

  /** [AT7] */
  #fitting(tool: string, output: string): string {
    if (output.length <= OUTPUT_MAX_CHARS) return output
    this.#log.warn({ code: 'TOOL_OUTPUT_CUT', tool, characters: output.length }, 'the answer of a tool was cut')
    return clip(output, OUTPUT_MAX_CHARS) + OUTPUT_CUT
  }

  override interrupt(): void {
    this.#sink.wantInterrupt()
  }

  override mute(_muted: boolean): void {
    throw new Error('a phone call cannot be muted from the agent; the carrier owns the microphone')
  }

  override close(): void {
    if (this.#status === 'disconnected') return
    this.#status = 'disconnected'
    this.emit('connection_change', 'disconnected')
  }

  /** Code of the agent listens to raw events: as the session's `transport_event`, as `*`, or by a provider's name (AT6). */
  isObserved = false

  override on: OpenAIRealtimeBase['on'] = (type, listener) => {
    // The SDK's own session listens to `*` once.
    if (type === '*') this.#listeners += 1
    if (this.#listeners > 1 || String(type).includes('.')) this.isObserved = true
    return super.on(type, listener)
  }

  /** Shows a server event that the SDK has no use for to whoever listens to raw events. */
  observe(event: ServerEvent): void {
    if (!this.isObserved) return
    this.emit('*', event)
    this.emit(event.type as '*', event)
  }

  /** From now on `deliver` keeps its events until `release`. */
  hold(): void {
    this.#held ??= []
  }

  /** The events that were kept go on, in order. */
  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const event of held) this.deliverNow(event)
  }

  /** Hands a server event to the SDK. */
  deliver(event: ServerEvent): void {
    if (this.#held === undefined) this.deliverNow(event)
    else if (this.#held.push(event) > HELD_MAX) this.release()
  }

  /** Hands a server event to the SDK, before those that are kept. */
  deliverNow(event: ServerEvent): void {
    if (this.#status !== 'connected') return
    if (event.type === 'response.done' || event.type === 'response.output_audio.done') this.#flushDelta()
    if (event.type === 'conversation.item.done' || event.type === 'response.output_item.done')
      this.#capHistory(text(record(event.item).id))
    // The frequent and simple ones are emitted as the SDK's own transport does, without its parsing and cloning.
    if (event.type === 'response.created') {
      this.emit('*', event)
      this.emit('turn_started', { type: 'response_started', providerData: { ...event } })
    } else if (event.type === 'response.output_audio.done') {
      this.emit('*', event)
      this.emit('audio_done')
    } else if (ONLY_OBSERVED.has(event.type)) this.emit('*', event)
    else if (!this.#deliverMessage(event) && !this.#deliverDone(event)) this.#deliverRaw(event)
  }

  /** [AT8] By the SDK's own reading, which throws at what it does not know. */
  #deliverRaw(event: ServerEvent): void {
    try {
      this._onMessage({ data: JSON.stringify(event) } as MessageEvent)
    } catch (error) {
      const { type } = event
      this.#log.warn({ code: 'MODEL_EVENT_UNREADABLE', event: type, reason: whereOf(error) }, 'an event was left out')
      this.#refuseApproval(record(event.item))
    }
  }

  /** [AT8] The model waits for the answer to an approval that nobody can read. */
  #refuseApproval({ id, type }: Record<string, unknown>): void {
    if (type !== 'mcp_approval_request' || typeof id !== 'string') return
    const reason = 'The arguments of this call could not be read. Ask for it again.'
    this.#sink.sendClientEvent({
      type: 'conversation.item.create',
      previous_item_id: id,
      item: { type: 'mcp_approval_response', approval_request_id: id, approve: false, reason },
    })
  }

  /** A message item that is done, in the SDK's own shape. False when it is anything else. */
  #deliverMessage(event: ServerEvent): boolean {
    const item = record(event.item)
    const { id: itemId, role, content } = item
    if (event.type !== 'conversation.item.done' || item.type !== 'message' || !Array.isArray(content)) return false
    if (typeof itemId !== 'string' || (role !== 'user' && role !== 'assistant')) return false
    const isCut = item.status === 'incomplete'
    const parts = content.map((part) =>
      record(part).type === 'audio' ? { ...record(part), type: 'output_audio' } : part,
    )
    this.emit('*', event)
    const previousItemId = typeof event.previous_item_id === 'string' ? event.previous_item_id : null
    this.emit('item_update', {
      itemId,
      previousItemId,
      type: 'message',
      role,
      content: parts,
      status: isCut ? 'incomplete' : 'completed',
    } as never)
    return true
  }

  /** The end of a response, as the SDK tells it. False when it is anything else, or when the SDK's own way was not yet seen once. */
  #deliverDone(event: ServerEvent): boolean {
    const { id, output, usage } = record(event.response)
    if (event.type !== 'response.done' || usageClass === undefined) return false
    if (typeof id !== 'string' || !Array.isArray(output)) return false
    const tokens = record(usage)
    const inputTokens = count(tokens.input_tokens)
    const outputTokens = count(tokens.output_tokens)
    const counts = {
      inputTokens,
      inputTokensDetails: record(tokens.input_token_details),
      outputTokens,
      outputTokensDetails: record(tokens.output_token_details),
      totalTokens: inputTokens + outputTokens,
    }
    this.emit('*', event)
    this.emit('response.done' as never, event as never)
    this.emit('usage_update', new usageClass(counts))
    this.emit('turn_done', { type: 'response_done', response: { id, output, usage: counts } } as never)
    return true
  }

  /** Transcript of the agent's speech, gathered for output guardrails. */
  transcriptDelta(itemId: string, responseId: string, delta: string): void {
    if (!this.#needsTranscriptDeltas) return
    if (this.#delta?.itemId !== itemId) {
      this.#flushDelta()
      this.#delta = { itemId, responseId, text: '' }
    }
    this.#delta.text += delta
    if (this.#delta.text.length >= TRANSCRIPT_DELTA_MIN_CHARS) this.#flushDelta()
  }

  /** The first audio of a response: users of the SDK know it as `audio_start`. Carries no audio (AT1). */
  audioStarted(responseId: string): void {
    this.emit('audio', { type: 'audio', data: new ArrayBuffer(0), responseId })
  }

  /** The agent's speech was cut; its history keeps what was heard. */
  audioInterrupted(itemId: string, heardText: string): void {
    this.emit('audio_interrupted')
    this.emit('item_update', {
      itemId,
      type: 'message',
      role: 'assistant',
      status: 'incomplete',
      // Without words the SDK would keep those that it knew.
      content: heardText === '' ? [] : [{ type: 'output_audio', transcript: heardText }],
    })
  }

  /** Shows items of a conversation that began elsewhere, as the SDK keeps them. */
  show(items: readonly { itemId: string }[]): void {
    for (const item of items) {
      this.#capHistory(item.itemId)
      this.emit('item_update', item as never)
    }
  }

  #flushDelta(): void {
    const gathered = this.#delta
    this.#delta = undefined
    if (gathered === undefined || gathered.text === '') return
    this.emit('audio_transcript_delta', {
      type: 'transcript_delta',
      itemId: gathered.itemId,
      delta: gathered.text,
      responseId: gathered.responseId,
    })
  }

  #capHistory(itemId: string): void {
    if (itemId === '' || this.#itemIds.includes(itemId)) return
    this.#itemIds.push(itemId)
    if (this.#itemIds.length <= HISTORY_MAX_ITEMS) return
    const oldest = this.#itemIds.shift()!
    this.emit('item_deleted', { itemId: oldest } as never)
  }
}
