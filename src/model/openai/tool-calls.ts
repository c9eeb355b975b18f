// The tools that the model calls, on their way to the SDK, which runs them as soon as it sees the call. Rules:
// OT1: a tool call is acted on once, however often the provider surfaces it (by its call id, among the last TOOL_CALLS_KEPT).
// OT2: with a gate, the SDK sees a call only when the gate let it: its intent is durable then. A gate that declines answers in
//      the tool's place; one that stops leaves the call to the pod that acts.
// OT3: tools that were called on another pod and have not answered run once the first link is ready.
// OT4: arguments that are no JSON object are answered with an error, and the tool or handoff does not run; none at all are `{}`.
// OT5: a tool that has not answered within `toolMaxMs`, or that nobody has allowed, is answered for in words. Its own answer, when it
//      comes, is told to the model as a note.
// OT6: a call that the SDK gives up (a guardrail, an approval or a handoff that throws), or whose gate does, is answered with an error.
import type { PendingTool, SessionStart } from '../../call/ports.ts'
import { messageOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import type { Wheel, WheelTimer } from '../../kit/wheel.ts'
import { record, type ServerEvent } from './wire.ts'

/** Ids of the last tool calls, to know a repeated one. */
const TOOL_CALLS_KEPT = 32
const BROKEN_ARGUMENTS =
  'The arguments were not a JSON object, so nothing was done. Call the tool again with complete arguments.'
const FAILED = 'This failed, and it is not known whether anything was done. Tell the caller so.'
const TOO_LATE =
  'This has not answered yet, and it may still be done. Tell the caller that it takes longer; do not call it again by yourself.'

type ToolCall = PendingTool
type Deeds = {
  run(event: ServerEvent, tool: ToolCall): void
  decline(toolCallId: string, name: string, words: string): void
  /** The model has been answered already; this is what the tool says after all. */
  tellLate(name: string, output: string): void
}
type ToolWorld = { log: Log; wheel: Wheel; toolMaxMs: number }

export class ToolCalls {
  readonly #start: SessionStart
  readonly #world: ToolWorld
  readonly #deeds: Deeds
  /** Tools that run, each with its bound (OT5). */
  readonly #running = new Map<string, { name: string; timer: WheelTimer }>()
  /** Answered for in words; their own answer may come. At most TOOL_CALLS_KEPT. */
  #late: string[] = []
  #pending: readonly ToolCall[]
  #seen: string[] = []
  #isClosed = false

  constructor(start: SessionStart, world: ToolWorld, deeds: Deeds) {
    this.#start = start
    this.#pending = start.pendingTools
    this.#world = world
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
    const { toolCallId, name } = tool
    const argumentsText = tool.argumentsText.trim() === '' ? '{}' : tool.argumentsText
    if (!isJsonObject(argumentsText)) {
      this.#world.log.warn(
        { code: 'TOOL_ARGUMENTS_BROKEN', tool: name },
        'the model called a tool with broken arguments',
      )
      this.#deeds.decline(toolCallId, name, BROKEN_ARGUMENTS)
      return
    }
    const readable = argumentsText === tool.argumentsText ? event : withArguments(event, argumentsText)
    this.#bound(toolCallId, name)
    if (gate === undefined) {
      this.#deeds.run(readable, tool)
      return
    }
    gate.before({ toolCallId, name, argumentsText }).then(
      (answer) => {
        if (this.#isClosed || answer.kind === 'stop') return
        if (answer.kind === 'go') this.#deeds.run(readable, tool)
        else if (!this.isAnswered(toolCallId)) this.#deeds.decline(toolCallId, name, answer.words)
      },
      (error: unknown) => {
        this.#world.log.error({ reason: messageOf(error) }, 'the gate of a tool failed')
        if (!this.#isClosed) this.fail(toolCallId)
      },
    )
  }

  /** The tool's own answer has come: true when it is the first that the model gets (OT5). */
  answered(toolCallId: string, name: string, output: string): boolean {
    this.#start.gate?.after(toolCallId, output)
    const isLate = this.isAnswered(toolCallId)
    this.settle(toolCallId)
    this.#late = this.#late.filter((other) => other !== toolCallId)
    if (isLate) this.#deeds.tellLate(name, output)
    return !isLate
  }

  /** Nobody will answer this call any more (OT6); nothing when it was answered. */
  fail(toolCallId: string): void {
    const running = this.#running.get(toolCallId)
    if (running !== undefined) this.#deeds.decline(toolCallId, running.name, FAILED)
  }

  /** Was the tool answered for (OT5)? */
  isAnswered(toolCallId: string): boolean {
    return this.#late.includes(toolCallId)
  }

  /** The model has an answer to this call: its bound is over. */
  settle(toolCallId: string): void {
    this.#world.wheel.cancel(this.#running.get(toolCallId)?.timer)
    this.#running.delete(toolCallId)
  }

  /** [OT5] */
  #bound(toolCallId: string, name: string): void {
    const { wheel, log, toolMaxMs } = this.#world
    const timer = wheel.after(toolMaxMs, () => {
      log.warn({ code: 'TOOL_TIMEOUT', tool: name }, 'a tool has not answered within its bound')
      this.#deeds.decline(toolCallId, name, TOO_LATE)
      this.#late = [...this.#late, toolCallId].slice(-TOOL_CALLS_KEPT)
    })
    this.#running.set(toolCallId, { name, timer })
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
    for (const { timer } of this.#running.values()) this.#world.wheel.cancel(timer)
    this.#running.clear()
  }
}

function isJsonObject(json: string): boolean {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

function withArguments(event: ServerEvent, argumentsText: string): ServerEvent {
  return { ...event, item: { ...record(event.item), arguments: argumentsText } }
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
