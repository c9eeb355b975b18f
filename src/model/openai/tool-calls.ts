// The tools that the model calls, on their way to the SDK, which runs them as soon as it sees the call. Rules:
// OT1: a tool call is acted on once, however often the provider surfaces it (by its call id, among the last TOOL_CALLS_KEPT).
// OT2: with a gate, the SDK sees a call only when the gate let it: its intent is durable then. A gate that declines answers in
//      the tool's place; one that stops leaves the call to the pod that acts.
// OT3: tools that were called on another pod and have not answered run once the first link is ready.
import type { PendingTool, SessionStart } from '../../call/ports.ts'
import { messageOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import type { ServerEvent } from './wire.ts'

/** Ids of the last tool calls, to know a repeated one. */
const TOOL_CALLS_KEPT = 32

type ToolCall = PendingTool
type Deeds = {
  run(event: ServerEvent, tool: ToolCall): void
  decline(toolCallId: string, name: string, words: string): void
}

export class ToolCalls {
  readonly #start: SessionStart
  readonly #log: Log
  readonly #deeds: Deeds
  #pending: readonly ToolCall[]
  #seen: string[] = []
  #isClosed = false

  constructor(start: SessionStart, log: Log, deeds: Deeds) {
    this.#start = start
    this.#pending = start.pendingTools
    this.#log = log
    this.#deeds = deeds
  }

  /** OT1. Notes the id. */
  isRepeated(toolCallId: string): boolean {
    if (this.#seen.includes(toolCallId)) return true
    this.#seen.push(toolCallId)
    if (this.#seen.length > TOOL_CALLS_KEPT) this.#seen.shift()
    return false
  }

  /** Runs `tool`, which the provider announced by `event`, when it may (OT2). */
  run(event: ServerEvent, tool: ToolCall): void {
    const { gate } = this.#start
    if (gate === undefined) {
      this.#deeds.run(event, tool)
      return
    }
    const { toolCallId, name, argumentsText } = tool
    gate.before({ toolCallId, name, argumentsText }).then(
      (answer) => {
        if (this.#isClosed || answer.kind === 'stop') return
        if (answer.kind === 'go') this.#deeds.run(event, tool)
        else this.#deeds.decline(toolCallId, name, answer.words)
      },
      (error: unknown) => this.#log.error({ reason: messageOf(error) }, 'the gate of a tool failed'),
    )
  }

  answered(toolCallId: string, output: string): void {
    this.#start.gate?.after(toolCallId, output)
  }

  /** OT3; later calls do nothing. */
  runPending(): void {
    const pending = this.#pending
    this.#pending = []
    for (const tool of pending) {
      this.isRepeated(tool.toolCallId)
      this.run(announcementOf(tool), tool)
    }
  }

  close(): void {
    this.#isClosed = true
  }
}

/** The event by which the SDK takes a function call, as the provider would have sent it. */
function announcementOf({ toolCallId, name, argumentsText, itemId }: ToolCall): ServerEvent {
  const item = {
    id: itemId ?? `fc_${toolCallId}`.slice(0, 32),
    type: 'function_call',
    status: 'completed',
    call_id: toolCallId,
    name,
    arguments: argumentsText,
  }
  return { type: 'response.output_item.done', event_id: 'vp-pending', response_id: 'vp-pending', output_index: 0, item }
}
