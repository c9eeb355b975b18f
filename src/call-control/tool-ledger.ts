// The tools of one call: each gets a key, and its intent is durable before it runs. Rules:
// TG1: the key is `callId:turn:ordinal`, given once to a tool call and the same after a resume; never the model's own id.
// TG2: a tool runs when its intent is durable. While the records are away it waits, INTENT_MAX_MS at most, whatever they are busy with; then it is
//      declined in words and has not run.
// TG8: a tool that changes something (`once` or `keyed`) and is out is not begun a second time with the same arguments: the model is told that it is being done.
// TG3: a tool whose intent already has an answer does not run again: it gets that answer.
// TG4: no tool starts for a call whose stream is over, or that another pod acts for.
// TG7: a tool of a call whose stream has not opened here waits for it, and runs then. When the call comes to nothing here, it does not run.
// TG5: no intent of a tool is written before the handoff that it follows is in a checkpoint: whoever finds the one knows the other, and
//      whose tool it is.
// TG6: a tool that another pod may have run, and whose answer is not known, runs again under its first key when it is `keyed` or `read`.
//      One that is `once` does not: the model is told that nobody knows whether it was done.
import type { ToolGate } from '../call/ports.ts'
import type { CallRecords, ToolIntent } from '../control/records.ts'
import { askWithin } from '../control/store-answer.ts'
import type { Clock } from '../kit/clock.ts'
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import type { ToolEffect } from '../packs/pack.ts'

export const INTENT_MAX_MS = 4_000
const RETRY_MS = 250
const SETTLE_TRIES = 20
/** Keys remembered for a call; a tool call older than these has long been answered. */
const KEYS_MAX = 256
/** [TG8] */
export const STILL_RUNNING =
  'This is being done already, asked for a moment ago with the same details. It was not begun a second time. Wait for that answer.'
const DECLINED =
  'This cannot be done at the moment, the system does not answer. Tell the caller so and offer to try again.'
/** [TG6] */
export const OUTCOME_UNKNOWN =
  'The line was cut while this was being done, so nobody knows whether it was done. It was not done a second time. Look it up if you ' +
  'can, and otherwise tell the caller that it has to be checked. Do not simply do it again.'

type Answer = Awaited<ReturnType<ToolGate['before']>>

type LedgerParts = {
  /** undefined: this pod is alone and keeps nothing; keys are given all the same. */
  records: Pick<CallRecords, 'intend' | 'settle'> | undefined
  callId: CallId
  callSid: CallSid
  epoch: number
  turn: () => number
  /** [TG7] Resolves once the stream of the call has opened here, or the call is over. */
  decided: () => Promise<void>
  isActing: () => boolean
  onFenced: () => void
  onTool: (key: string) => void
  /** [TG6] What may happen to a tool of this name that was cut short. */
  effectOf: (name: string) => ToolEffect
  /** Waits, within its own bound, until a checkpoint knows the agent in charge. Left out: none is written. */
  agentKept?: () => Promise<void>
  clock: Clock
  wheel: Wheel
  log: Log
}

/** What a call brings from the pod or the socket that it lost. */
export type CarriedTools = {
  /** The intents that are there; undefined: the records could not be read. */
  intents: readonly ToolIntent[] | undefined
  /** Tool calls that have no answer. */
  pending: readonly string[]
}

const NOTHING_CARRIED: CarriedTools = { intents: [], pending: [] }

export class ToolLedger implements ToolGate {
  readonly #parts: LedgerParts
  readonly #keys = new Map<string, string>()
  /** Tool calls that another pod may have run and that have no answer. [TG6] */
  readonly #cut: ReadonlySet<string>
  /** [TG8] Tools that are out: their name and arguments by tool call. As many as a response may call. */
  readonly #out = new Map<string, string>()
  #turn = -1
  #ordinal = 0

  constructor(parts: LedgerParts, carried: CarriedTools = NOTHING_CARRIED) {
    this.#parts = parts
    const { intents, pending } = carried
    for (const { toolCallId, key } of intents ?? []) this.#keys.set(toolCallId, key)
    // Without an intent it has not run (TG2); where intents cannot be read, nobody knows.
    this.#cut = new Set(pending.filter((id) => intents === undefined || this.#keys.has(id)))
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
    const { toolCallId, name, argumentsText } = tool
    const what = `${name} ${argumentsText}`
    const isChange = this.#parts.effectOf(name) !== 'read'
    if (isChange && [...this.#out].some(([id, other]) => other === what && id !== toolCallId)) {
      this.#parts.log.warn(
        { tool: name },
        'a tool that is out was called again with the same arguments; it is not begun twice',
      )
      return { kind: 'decline', words: STILL_RUNNING }
    }
    this.#out.set(toolCallId, what)
    const answer = await this.#allow(tool)
    if (answer.kind !== 'go') this.#out.delete(toolCallId)
    return answer
  }

  async #allow(tool: { toolCallId: string; name: string; argumentsText: string }): Promise<Answer> {
    const key = this.keyOf(tool.toolCallId)
    const { records, log } = this.#parts
    await this.#parts.decided()
    const untilMs = this.#parts.clock.monotonicMs() + INTENT_MAX_MS
    let isCut = this.#cut.has(tool.toolCallId)
    await this.#parts.agentKept?.()
    for (let attempt = 1; ; attempt += 1) {
      if (!this.#parts.isActing()) return { kind: 'stop' }
      if (records === undefined) return this.#goUnlessCut(key, tool.name, isCut)
      try {
        const leftMs = Math.max(1, untilMs - this.#parts.clock.monotonicMs())
        const asked = await askWithin(this.#parts.wheel, leftMs, () =>
          records.intend({ ...this.#fence(), ...tool, key }),
        )
        if (asked.kind === 'away') throw new VoiceError('STORE_UNAVAILABLE', { message: asked.reason })
        const intended = asked.value
        // A second try may find what the first one wrote.
        if (intended.kind === 'known' && attempt === 1) isCut = true
        return this.#answerOf(key, tool.name, intended, isCut)
      } catch (error) {
        if (this.#parts.clock.monotonicMs() >= untilMs) {
          log.warn(
            { code: 'STORE_UNAVAILABLE', reason: messageOf(error) },
            'a tool was declined, its intent is not durable',
          )
          return { kind: 'decline', words: this.#isGivenUp(tool.name, isCut) ? OUTCOME_UNKNOWN : DECLINED }
        }
        await this.#parts.wheel.pause(RETRY_MS)
      }
    }
  }

  after(toolCallId: string, output: string): void {
    this.#out.delete(toolCallId)
    const key = this.#keys.get(toolCallId)
    if (key !== undefined) void this.#settle(key, output)
  }

  #answerOf(key: string, name: string, intended: Awaited<ReturnType<CallRecords['intend']>>, isCut: boolean): Answer {
    if (intended.kind === 'fenced') {
      this.#parts.onFenced()
      return { kind: 'stop' }
    }
    if (!this.#parts.isActing()) return { kind: 'stop' }
    if (intended.kind === 'known' && intended.output !== undefined) return { kind: 'decline', words: intended.output }
    return this.#goUnlessCut(key, name, isCut)
  }

  #goUnlessCut(key: string, name: string, isCut: boolean): Answer {
    if (this.#isGivenUp(name, isCut)) {
      this.#parts.log.warn(
        { tool: name },
        'a tool that may have run is not run again; toolEffects says which tools may',
      )
      return { kind: 'decline', words: OUTCOME_UNKNOWN }
    }
    this.#parts.onTool(key)
    return { kind: 'go' }
  }

  /** [TG6] */
  #isGivenUp(name: string, isCut: boolean): boolean {
    return isCut && this.#parts.effectOf(name) === 'once'
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

  /** After a resume within a turn the first pod's keys of that turn are taken. */
  #firstOrdinal(turn: number): number {
    const start = `${this.#parts.callId}:${turn}:`
    let last = 0
    for (const key of this.#keys.values())
      if (key.startsWith(start)) last = Math.max(last, Number(key.slice(start.length)))
    return last + 1
  }
}
