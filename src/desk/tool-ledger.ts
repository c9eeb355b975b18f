// The tools of one call: each gets a key, and its intent is durable before it runs. Rules:
// TG1: the key is `callId:turn:ordinal`, given once to a tool call and the same after a comeback; never the model's own id.
// TG2: a tool runs when its intent is durable. While the records are away it waits, at most INTENT_MAX_MS; then it is declined in
//      words and has not run.
// TG3: a tool whose intent already has an answer does not run again: it gets that answer.
// TG4: no tool starts for a call whose stream is over, or that another pod acts for.
// TG5: no intent of a tool is written before the handoff that it follows is in a checkpoint: whoever finds the one knows the other, and
//      whose tool it is.
import type { ToolGate } from '../call/ports.ts'
import type { CallRecords, ToolIntent } from '../control/records.ts'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'

export const INTENT_MAX_MS = 4_000
const RETRY_MS = 250
const SETTLE_TRIES = 20
/** Keys remembered for a call; a tool call older than these has long been answered. */
const KEYS_MAX = 256
const DECLINED =
  'This cannot be done at the moment, the system does not answer. Tell the caller so and offer to try again.'

type Answer = Awaited<ReturnType<ToolGate['before']>>

export type LedgerParts = {
  /** undefined: this pod is alone and keeps nothing; keys are given all the same. */
  records: Pick<CallRecords, 'intend' | 'settle'> | undefined
  callId: CallId
  callSid: CallSid
  epoch: number
  turn: () => number
  isActing: () => boolean
  onFenced: () => void
  onTool: (key: string) => void
  /** Waits, within its own bound, until a checkpoint knows the agent in charge. Left out: none is written. */
  agentKept?: () => Promise<void>
  clock: Clock
  wheel: Wheel
  log: Log
}

export class ToolLedger implements ToolGate {
  readonly #parts: LedgerParts
  readonly #keys = new Map<string, string>()
  #turn = -1
  #ordinal = 0

  constructor(parts: LedgerParts, known: readonly ToolIntent[] = []) {
    this.#parts = parts
    for (const { toolCallId, key } of known) this.#keys.set(toolCallId, key)
  }

  /** TG1. Gives the key of a tool call, a new one when it has none yet. */
  keyOf(toolCallId: string): string {
    const known = this.#keys.get(toolCallId)
    if (known !== undefined) return known
    const turn = this.#parts.turn()
    this.#ordinal = turn === this.#turn ? this.#ordinal + 1 : this.#firstOrdinal(turn)
    this.#turn = turn
    const key = `${this.#parts.callId}:${turn}:${this.#ordinal}`
    this.#keys.set(toolCallId, key)
    if (this.#keys.size > KEYS_MAX) this.#keys.delete(this.#keys.keys().next().value!)
    return key
  }

  /** The key for the third argument of a tool's `execute`. */
  keyOfDetails(details: { toolCall?: unknown } | undefined): string {
    const toolCall = details?.toolCall
    const id = typeof toolCall === 'object' && toolCall !== null ? (toolCall as { callId?: unknown }).callId : undefined
    return this.keyOf(typeof id === 'string' ? id : '')
  }

  async before(tool: { toolCallId: string; name: string; argumentsText: string }): Promise<Answer> {
    const key = this.keyOf(tool.toolCallId)
    const { records, log } = this.#parts
    const untilMs = this.#parts.clock.monotonicMs() + INTENT_MAX_MS
    await this.#parts.agentKept?.()
    for (;;) {
      if (!this.#parts.isActing()) return { kind: 'stop' }
      if (records === undefined) return this.#go(key)
      try {
        return this.#answerOf(key, await records.intend({ ...this.#fence(), ...tool, key }))
      } catch (error) {
        if (this.#parts.clock.monotonicMs() > untilMs) {
          log.warn(
            { code: 'STORE_UNAVAILABLE', reason: messageOf(error) },
            'a tool was declined, its intent is not durable',
          )
          return { kind: 'decline', words: DECLINED }
        }
        await this.#parts.wheel.pause(RETRY_MS)
      }
    }
  }

  after(toolCallId: string, output: string): void {
    const key = this.#keys.get(toolCallId)
    if (key !== undefined) void this.#settle(key, output)
  }

  #answerOf(key: string, intended: Awaited<ReturnType<CallRecords['intend']>>): Answer {
    if (intended.kind === 'fenced') {
      this.#parts.onFenced()
      return { kind: 'stop' }
    }
    if (!this.#parts.isActing()) return { kind: 'stop' }
    if (intended.kind === 'known' && intended.output !== undefined) return { kind: 'decline', words: intended.output }
    return this.#go(key)
  }

  #go(key: string): Answer {
    this.#parts.onTool(key)
    return { kind: 'go' }
  }

  async #settle(key: string, output: string): Promise<void> {
    const { records, log } = this.#parts
    if (records === undefined) return
    for (let attempt = 1; attempt <= SETTLE_TRIES; attempt += 1) {
      try {
        await records.settle({ ...this.#fence(), key, output })
        return
      } catch (error) {
        if (attempt === SETTLE_TRIES) log.warn({ reason: messageOf(error) }, 'the answer of a tool was not kept')
        else await this.#parts.wheel.pause(RETRY_MS)
      }
    }
  }

  #fence(): { callSid: CallSid; epoch: number } {
    return { callSid: this.#parts.callSid, epoch: this.#parts.epoch }
  }

  /** After a comeback within a turn the first pod's keys of that turn are taken. */
  #firstOrdinal(turn: number): number {
    const start = `${this.#parts.callId}:${turn}:`
    let last = 0
    for (const key of this.#keys.values())
      if (key.startsWith(start)) last = Math.max(last, Number(key.slice(start.length)))
    return last + 1
  }
}
