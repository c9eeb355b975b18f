// What a call needs of the world, as the call sees it: it knows no carrier, no provider and no clock but these.
// Rules:
// PT1: audio towards the caller is G.711 µ-law, 8 kHz, 8 bytes per millisecond, whatever the model speaks.
// PT2: a listener is called synchronously; byte ranges are valid only during the call.
import { type AgentPath, type AgentState, NEW_AGENT } from './agent-state.ts'
import type { MessagePart, TranscriptItem } from './transcript.ts'

/** How the carrier's side of a call ended. */
export type LegEnd = { cause: 'stop' | 'closed' | 'lost' | 'overflow' | 'violation' | 'dead' | 'fault'; code: number }

/** The carrier's side: one open media stream. */
export interface Leg {
  readonly streamSid: string
  /** Sends µ-law audio to be played; with `mark`, the carrier says when it was. One write. */
  sendAudio(ulaw: Uint8Array, mark: string | undefined): void
  /** Drops what the carrier has not played yet. */
  clear(): void
  /** Ends the stream; idempotent. */
  close(reason: string): void
}

/** What a leg tells its call. */
export interface LegListener {
  /** One frame of caller audio: base64 text in `buffer[start..end)`, `timestampMs` since the stream began. */
  onMedia(buffer: Buffer, start: number, end: number, timestampMs: number): void
  onMark(name: string): void
  onDigit(digit: string): void
  onLegEnd(end: LegEnd): void
}

/** Why a link to a model ended or was not made. `fatal`: another try with the same settings cannot help. */
export type ModelLoss = { code: string; fatal: boolean; retryAfterMs?: number }

/** What a model session tells its call. */
export type ModelEvent =
  | { kind: 'ready'; expiresInMs: number | undefined; renewed: boolean }
  /** The configuration that is in force says who ends turns. */
  | ({ kind: 'configured' } & TurnTaking)
  | { kind: 'lost'; loss: ModelLoss }
  | { kind: 'renewal-failed'; loss: ModelLoss }
  | { kind: 'speech-started'; itemId: string }
  | { kind: 'speech-stopped'; itemId: string }
  | { kind: 'response-started'; responseId: string }
  | {
      kind: 'response-ended'
      responseId: string
      status: 'completed' | 'cancelled' | 'incomplete' | 'failed'
      code?: string
      /** A limit refused it: of a rate, which passes, or of a quota, which does not soon. */
      limit?: 'rate' | 'quota'
      /** When the provider says that it may be asked again. */
      retryAfterMs?: number
      /** What it wrote instead of saying it. */
      text?: string
      /** It waits for a tool that the provider runs, or for somebody to allow it. */
      awaitsApproval?: true
      usage?: Usage
    }
  /** A sign of life of the response that is under way; at most a few a second. */
  | { kind: 'response-alive' }
  /** The link has answered the question whether it lives. */
  | { kind: 'link-alive' }
  | { kind: 'audio-ended'; itemId: string }
  | { kind: 'caller-said'; itemId: string; text: string }
  /** A part of what the caller said; the whole follows. */
  | { kind: 'caller-said-part'; itemId: string; text: string }
  /** What the caller said could not be transcribed. */
  | { kind: 'caller-unclear'; itemId: string }
  | { kind: 'agent-said'; itemId: string; text: string }
  | { kind: 'tool-called'; toolCallId: string; name: string; arguments: string; itemId?: string; owner?: AgentPath }
  | { kind: 'tool-answered'; toolCallId: string; name: string; output: string; respond: boolean }
  | ({ kind: 'response-wanted' } & ResponseRequest)
  | { kind: 'interrupt-wanted' }
  | { kind: 'request-refused'; code: string; requestId: string | undefined }
  | { kind: 'agent-failed'; message: string }
  /** Something of the agent that a checkpoint holds is another: who is in charge, the voice, a decision about a tool. */
  | { kind: 'agent-changed' }
  /** Code has put a message into the conversation, behind the item `after` (`root`: in front; undefined: at the end). */
  | {
      kind: 'item-put'
      id: string
      role: 'user' | 'assistant' | 'system'
      content: MessagePart[]
      after: string | undefined
    }
  /** Code has taken an item out of the conversation. */
  | { kind: 'item-taken'; id: string }

/** What a response is asked for with. `extra` is the provider's own and opaque to the call. */
export type ResponseRequest = { instructions?: string; extra?: Record<string, unknown> }

/** `autoRespond`: the provider answers by itself when the caller has spoken. `interrupts`: speech of the caller cuts the agent's. */
export type TurnTaking = { autoRespond: boolean; interrupts: boolean }

/** Tokens of one response, as the provider bills them. */
export type Usage = {
  inputTokens: number
  outputTokens: number
  inputAudioTokens: number
  outputAudioTokens: number
  cachedTokens: number
}

/** What a call asks of its model session. */
export type ModelCommand =
  | ({ kind: 'respond'; requestId: string } & ResponseRequest)
  | { kind: 'cancel' }
  | { kind: 'truncate'; itemId: string; audioEndMs: number }
  | { kind: 'digits'; itemId: string; digits: string }
  /** Ends the caller's turn, though the provider has not. */
  | { kind: 'commit' }
  /** Told to the model; nobody said it. */
  | { kind: 'note'; itemId: string; text: string }
  /** A question that a link that lives answers; it becomes `link-alive`. */
  | { kind: 'prove' }

/** What a model session calls on its call. */
export interface ModelListener {
  onModelEvent(event: ModelEvent): void
  /** What was said until now. */
  history?(): readonly TranscriptItem[]
  /** What was said until now, when nobody speaks and nothing is being made: then a renewed link may take over. */
  renewalMoment?(): readonly TranscriptItem[] | undefined
  /** Audio of the agent, µ-law. */
  onModelAudio(responseId: string, itemId: string, ulaw: Buffer): void
}

/** The model's side: agent, tools and one live link at a time, replaceable under the call. */
export interface ModelSession {
  /** Opens the link, or a new one beside the old (`renewal`), and replays `history` into it. Ends in `ready` or `lost`/`renewal-failed`. `elsewhere`: in another pool, if there is one. */
  dial(history: readonly TranscriptItem[], renewal: boolean, elsewhere?: boolean): void
  /** Caller audio: base64 µ-law. Only after `ready`. */
  appendAudio(buffer: Buffer, start: number, end: number): void
  /** `ms` of silence in the caller's direction. */
  appendSilence(ms: number): void
  /** The caller seems to speak (perhaps it is noise): a link that says nothing to it must prove that it lives, else it is `lost` as stalled. */
  callerSeemsLoud(): void
  command(command: ModelCommand): void
  /** Tells the agent runtime that its speech was cut: what was heard of which item. */
  interrupted(itemId: string, heardText: string): void
  /** What of the agent must outlive this pod, as it is now. */
  carried(): AgentState
  /**
   * The call is over and words of its caller are still owed: agent and tools end, and the link brings transcriptions alone until `close`. False:
   * none will come.
   */
  awaitWords?(): boolean
  /** Ends the link and the agent; idempotent, never throws. */
  close(): void
}

/** Asked before a tool runs. Its answer may take a while: the intent is made durable meanwhile. */
export interface ToolGate {
  /** `go`: it may run now. `decline`: it may not; the model is told `words` in place of its answer. `stop`: another pod acts. */
  before(tool: {
    toolCallId: string
    name: string
    argumentsText: string
  }): Promise<{ kind: 'go' } | { kind: 'decline'; words: string } | { kind: 'stop' }>
  /** It has answered. */
  after(toolCallId: string, output: string): void
}

/** A tool call that has no answer; `owner`: the agent whose tool it is, where there is more than one. */
export type PendingTool = {
  toolCallId: string
  name: string
  argumentsText: string
  itemId?: string
  owner?: AgentPath
}

/** How a session begins. */
export type SessionStart = {
  gate: ToolGate | undefined
  /** Tools that were called on another pod and have not answered: they run again, under their first key. */
  pendingTools: readonly PendingTool[]
  /** How the agent goes on. */
  agent: AgentState
  /** Told to the model, once, before it speaks: why the line was silent. */
  note: string | undefined
}

/** A session that begins with its call. */
export const NEW_SESSION: SessionStart = { gate: undefined, pendingTools: [], agent: NEW_AGENT, note: undefined }
