// What a pack is, as the plane sees it. Rules:
// PK1: a pack is loaded once and opens once per call; what can be shared between calls (tools, schemas, prompt) is.
// PK2: who the call is with comes from the call (CallActions.farParty), never from the model's arguments; who is withheld is asked.
// PK3: a pack touches a call only through its CallActions; it has no socket, no store and no clock but those handed to it.
import type { RealtimeAgent, RealtimeSession, RealtimeSessionOptions } from '@openai/agents-realtime'
import type { Direction, FarParty } from '../call/identity.ts'
import type { CallId, CallSid } from '../kit/ids.ts'

/** What the SDK tells a tool of its call; only the id is looked at. */
type ToolDetails = { toolCall?: unknown }

/** What a pack's tools may know of their call and do to it. */
export interface CallActions {
  readonly callId: CallId
  readonly callSid: CallSid
  /** Both ends as the carrier gave them: text that proves nothing. Whom the call is with is `farParty`. */
  readonly from: string
  readonly to: string
  readonly direction: Direction
  /**
   * Whom the call is with, whoever called: his number when it is known. `withheld`: nobody is known by it, so ask for a name or a
   * number; look nothing up by it, and promise no call-back to it.
   */
  readonly farParty: FarParty
  /** BCP 47, when it is known before the first word. */
  readonly language?: string
  /** Hangs up once the caller has heard what is being said. Idempotent; refused while the caller is being transferred: the first wish counts. */
  endCall(): EndAnswer
  /**
   * The key under which the effect of a tool call happens once, whatever dies: hand it to whatever the tool writes to
   * (an Idempotency-Key header, a unique column). `details` is the third argument of the tool's `execute`.
   */
  effectKey(details: ToolDetails | undefined): string
  /**
   * Hands the caller to `to` once he has heard what is being said: a number in E.164, or a SIP address or client that the operator
   * allows. Refused, nothing happens, and `words` say why: give them to the model as the tool's answer. Idempotent.
   */
  transferCall(to: string): TransferAnswer
}

/** What became of a wish to end the call. */
type EndAnswer = { kind: 'accepted' } | { kind: 'refused'; reason: string; words: string }

/** What became of a wish to transfer; `reason` is a fixed word (control/transfer-policy.ts). */
type TransferAnswer = { kind: 'accepted' } | { kind: 'refused'; reason: string; words: string }

/** Who speaks first, and from what instructions. */
export type Greeting = { kind: 'agent'; instructions?: string } | { kind: 'caller-first' }

/**
 * What may happen to a tool that had not answered when its pod was lost. `keyed`: it runs again, its receiver does its effect once under
 * `effectKey`. `read`: it runs again, it has no effect or one that may be repeated. `once`: it does not run again, and the agent is told
 * that its outcome is unknown.
 */
export type ToolEffect = 'keyed' | 'read' | 'once'

/** An agent whatever the type of its context: the plane carries the context and does not look into it. */
export type PackAgent = RealtimeAgent<unknown>
/** A session whatever the type of its context. */
export type PackSession = RealtimeSession<unknown>

/** The options of the SDK's session that a pack may set; key, transport and audio formats are the plane's. */
export type PackSessionOptions = Pick<
  RealtimeSessionOptions<unknown>,
  | 'outputGuardrails'
  | 'outputGuardrailSettings'
  | 'config'
  | 'toolExecution'
  | 'toolErrorFormatter'
  | 'automaticallyTriggerResponseForMcpToolCalls'
  | 'model'
>

/** One call's agent and settings. */
export interface PackCall extends PackSessionOptions {
  readonly agent: PackAgent
  /**
   * Agents that may come to be in charge though no handoff of `agent` leads to them, directly or over others: by
   * `session.updateAgent(…)`, or by a handoff that picks its agent when it is used. Named here, they are found again in another pod.
   */
  readonly agents?: readonly PackAgent[]
  /** Given to tools as `runContext.context`; the SDK spreads it, so that only own properties arrive. */
  readonly context?: object
  readonly voice?: string
  /** Default: the agent speaks first, from its own instructions. */
  readonly greeting?: Greeting
  /** Whether a key that the caller presses silences the agent, as speech does. Default: yes. */
  readonly keysInterrupt?: boolean
  /** By the names of tools. A tool that is not named is `once`; a handoff runs again. */
  readonly toolEffects?: Readonly<Record<string, ToolEffect>>
  /** Called once, before the session connects: the place for `session.on(…)` and for approving tools. */
  onSession?(session: PackSession): void
  /** Called once when the call is over, however it ended. */
  close?(): void
}

/** A vertical, or an operator's own agent. */
export interface Pack {
  readonly name: string
  /** Pinned for the life of a call. */
  readonly version: string
  /** What the model hears and speaks; default `pcmu`. */
  readonly modelAudio?: 'pcmu' | 'pcm16'
  /** Gives the agent of one call. May reject: the call then ends as AGENT_FAILED. */
  openCall(call: CallActions): PackCall | Promise<PackCall>
}

/**
 * Forgets the type of an agent's context, so that agents of any context fit one plane. Sound as long as the same
 * PackCall carries a context of that type: hence the two are taken together.
 */
export function packCall<Context extends object>(
  parts: Omit<PackCall, 'agent' | 'context'> & { agent: RealtimeAgent<Context>; context: Context },
): PackCall {
  return { ...parts, agent: parts.agent as unknown as PackAgent }
}
