// Where a session stands in its script. Rules:
// P1: a response takes the next turn; one that was asked for without a new word of the caller takes none (a nudge).
// P2: after a call the dialogue waits for its output; a response before it only asks for patience.
// P3: a call that was cancelled before it was complete is tried again at the next turn.
// P4: history that is replayed by conversation.item.create moves the dialogue as if it had been lived.
// P5: the words of a caller are unknown to the simulator: the script's expected line stands for them.
// P6: a replayed call finds its turn by its arguments where the script has them word for word, else it is the next of its name:
//     a history that begins late, or holds more speech than the script, then still leads to the right place.
// P7: a session that is to talk for a time does not end the call before: where the script would, it talks on with other turns.
// P8: with `toolEveryAnswers` each so many answers of a script without tools of its own, beginning with the first, call a tool or a
//     handoff of the session: one that was not called yet, else each in turn. What the tool answered is then said aloud. What would
//     end the call is never called. One for which no arguments can be made is not called either: that is said aloud.
import { minimalArguments } from './minimal-arguments.ts'
import { fill, fillDeep, type Script, type ScriptTurn } from './script.ts'

/** A function tool of the session. */
type Tool = { name: string; parameters?: unknown }

/** What a response will put out, in order. */
export type Output =
  | { kind: 'speech'; text: string }
  | { kind: 'call'; name: string; argumentsJson: string }
  | { kind: 'mcp'; server: string; name: string; argumentsJson: string; output: string }

const PATIENCE = 'One moment please, I am still looking.'
const NUDGE = 'I am still here. Please take your time.'
const AFTER_CALL = 'All right, that is done.'
const AFTER_END = 'Is there anything else I can do for you?'
const ENDS_CALL = /hang|end_/
const NEVER_CALLED_BY_CLOCK = /transfer|handoff|hand_off|hang|end_|escalate/

const HANDOFF = /^transfer_to_/
const HANDED_OVER = 'Hello, I have taken over. What can I do for you?'
const OUTPUT_SAID_CHARS = 160

type Waiting = { kind: 'none' } | { kind: 'output'; turn: ScriptTurn } | { kind: 'answer'; turn: ScriptTurn }

export class Dialogue {
  #script: Script
  #turn = 0
  #waiting: Waiting = { kind: 'none' }
  #hasNewWords = false
  #values: unknown = {}
  readonly #toolEveryMs: number
  #lastToolMs: number
  readonly #talkUntilMs: number
  readonly #smallTalk: readonly ScriptTurn[]
  #smallTalkAt = 0
  readonly #toolEveryAnswers: number
  #answers = 0
  readonly #called = new Set<string>()
  /** The tool that was called by P8 and the words that it answered. */
  #own: { name: string; output: string } | undefined

  /**
   * `toolEveryMs` > 0: a script without tools of its own calls one about that often, first after `firstToolMs`.
   * [P7] `talk`: for `ms` no turn ends the call; `turns` are said in its place, over and over.
   */
  constructor(options: {
    script: Script
    toolEveryMs?: number
    firstToolMs?: number
    toolEveryAnswers?: number
    nowMs: number
    talk?: { ms: number; turns: readonly ScriptTurn[] }
  }) {
    this.#script = options.script
    this.#toolEveryMs = options.toolEveryMs ?? 0
    this.#toolEveryAnswers = options.toolEveryAnswers ?? 0
    this.#talkUntilMs = options.talk === undefined ? 0 : options.nowMs + options.talk.ms
    this.#smallTalk = options.talk?.turns ?? []
    this.#lastToolMs = options.nowMs - this.#toolEveryMs + (options.firstToolMs ?? 0)
  }

  get scriptName(): string {
    return this.#script.name
  }

  /** Starts another script from its greeting. */
  change(script: Script): void {
    this.#script = script
    this.#turn = 0
    this.#waiting = { kind: 'none' }
  }

  /** True until something was said by either side. */
  get isFresh(): boolean {
    return this.#turn === 0 && !this.#hasNewWords
  }

  /** The caller spoke (or typed); what they presumably said, when the script tells. */
  hearCaller(): string | undefined {
    this.#hasNewWords = true
    if (this.#turn === 0) this.#turn = 1
    return this.#waiting.kind === 'none' ? this.#current()?.expectCaller : undefined
  }

  /** The output of a function call arrived: true when the dialogue waited for it. */
  hearOutput(output: string): boolean {
    this.#values = parseOutput(output)
    if (this.#waiting.kind !== 'output') return false
    this.#waiting = { kind: 'answer', turn: this.#waiting.turn }
    if (this.#own !== undefined) this.#own.output = plainText(output)
    return true
  }

  /** A replayed assistant message. */
  replaySpeech(): void {
    this.#waiting = { kind: 'none' }
    this.#hasNewWords = false
    this.#turn += 1
  }

  /** [P6] A replayed function call. */
  replayCall(name: string, argumentsJson: string): void {
    const { turns } = this.#script
    const same = turns.findIndex(({ call }) => call?.name === name && JSON.stringify(call.arguments) === argumentsJson)
    const at = same >= 0 ? same : turns.findIndex((turn, i) => i >= this.#turn && turn.call?.name === name)
    if (at >= 0) this.#turn = at
    this.#waiting = { kind: 'output', turn: this.#script.turns[at] ?? {} }
  }

  /** The tools that the script calls at an MCP server. */
  toolsAt(server: string): string[] {
    const names = this.#script.turns.flatMap(({ call }) => (call?.server === server ? [call.name] : []))
    return [...new Set(names)]
  }

  /** What the next response puts out, given the session's tools and the labels of its MCP servers. */
  next(tools: readonly Tool[], nowMs: number, servers: readonly string[] = []): Output[] {
    if (this.#waiting.kind === 'output') return [{ kind: 'speech', text: PATIENCE }]
    if (this.#waiting.kind === 'answer') return this.#answer(this.#waiting.turn)
    if (!this.#hasNewWords && this.#turn > 0) return [{ kind: 'speech', text: NUDGE }]
    const turn = this.#current()
    this.#hasNewWords = false
    const other = this.#insteadOfEnd(turn, nowMs)
    if (other !== undefined) return [{ kind: 'speech', text: other }]
    if (turn === undefined) return [{ kind: 'speech', text: AFTER_END }]
    const byClock = turn.call === undefined ? (this.#callByClock(tools, nowMs) ?? this.#callByCount(tools)) : undefined
    if (byClock?.call !== undefined) return this.#call({ call: byClock.call, thenSay: turn.say })
    if (turn.call?.server !== undefined && servers.includes(turn.call.server)) return this.#call(turn)
    if (turn.call !== undefined && tools.some((tool) => tool.name === turn.call?.name)) return this.#call(turn)
    this.#turn += 1
    return [{ kind: 'speech', text: byClock?.say ?? fill(turn.say ?? turn.thenSay ?? AFTER_CALL, this.#values) }]
  }

  /** The response with the call was cancelled before the call was whole. */
  callLost(): void {
    if (this.#waiting.kind === 'output') this.#waiting = { kind: 'none' }
    this.#own = undefined
  }

  #answer(turn: ScriptTurn): Output[] {
    this.#waiting = { kind: 'none' }
    this.#hasNewWords = false
    this.#turn += 1
    const own = this.#own
    this.#own = undefined
    if (own !== undefined) return [{ kind: 'speech', text: HANDOFF.test(own.name) ? HANDED_OVER : outputSaid(own) }]
    return [{ kind: 'speech', text: fill(turn.thenSay ?? AFTER_CALL, this.#values) || AFTER_CALL }]
  }

  /** [P7] What is said in place of an end; also where the script has nothing left to say. */
  #insteadOfEnd(turn: ScriptTurn | undefined, nowMs: number): string | undefined {
    if (nowMs >= this.#talkUntilMs || this.#smallTalk.length === 0) return undefined
    if (turn !== undefined && !ENDS_CALL.test(turn.call?.name ?? '')) return undefined
    return this.#smallTalk[this.#smallTalkAt++ % this.#smallTalk.length]!.say
  }

  #call(turn: ScriptTurn): Output[] {
    const { name, arguments: given, server, output = '' } = turn.call!
    this.#waiting = { kind: 'output', turn }
    const argumentsJson = JSON.stringify(fillDeep(given, this.#values))
    const call: Output =
      server === undefined
        ? { kind: 'call', name, argumentsJson }
        : { kind: 'mcp', server, name, argumentsJson, output }
    return turn.say === undefined ? [call] : [{ kind: 'speech', text: fill(turn.say, this.#values) }, call]
  }

  #callByClock(tools: readonly Tool[], nowMs: number): ScriptTurn | undefined {
    if (this.#toolEveryMs <= 0 || this.#turn === 0 || nowMs - this.#lastToolMs < this.#toolEveryMs) return undefined
    const tool = tools.find(({ name }) => !NEVER_CALLED_BY_CLOCK.test(name))
    if (tool === undefined) return undefined
    this.#lastToolMs = nowMs
    return callOf(tool)
  }

  /** [P8] */
  #callByCount(tools: readonly Tool[]): ScriptTurn | undefined {
    if (this.#toolEveryAnswers <= 0 || this.#turn === 0) return undefined
    this.#answers += 1
    if ((this.#answers - 1) % this.#toolEveryAnswers !== 0) return undefined
    const harmless = tools.filter(isHarmless)
    if (harmless.every(({ name }) => this.#called.has(name))) for (const { name } of harmless) this.#called.delete(name)
    const tool = harmless.find(({ name }) => !this.#called.has(name))
    if (tool === undefined) return undefined
    this.#called.add(tool.name)
    const turn = callOf(tool)
    if (turn.call !== undefined) this.#own = { name: tool.name, output: '' }
    return turn
  }

  #current(): ScriptTurn | undefined {
    const { turns, loop } = this.#script
    if (this.#turn < turns.length || loop !== true || turns.length === 1) return turns[this.#turn]
    return turns[1 + ((this.#turn - 1) % (turns.length - 1))]
  }
}

/** The call with the smallest arguments, or words that say why there is none. */
function callOf({ name, parameters }: Tool): ScriptTurn {
  const made = minimalArguments(parameters)
  if (made.kind === 'made') return { call: { name, arguments: made.arguments } }
  const place = made.path === '' ? 'its parameters' : `its parameter ${made.path}`
  return { say: `I cannot call the tool ${name}: I am offline and find no value for ${place}.` }
}

/** A handoff has no parameters; a tool that has any, and speaks of a transfer, dials somebody. */
function isHarmless({ name, parameters }: Tool): boolean {
  const properties = (parameters as { properties?: object } | undefined)?.properties ?? {}
  if (HANDOFF.test(name) && Object.keys(properties).length === 0) return true
  return !NEVER_CALLED_BY_CLOCK.test(name.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toLowerCase())
}

function outputSaid({ name, output }: { name: string; output: string }): string {
  const words = name.replaceAll(/[_-]+/g, ' ')
  return output === '' ? `I have used ${words}. It said nothing.` : `I have used ${words}. It says: ${output}`
}

/** A tool's answer as words to be said. */
function plainText(output: string): string {
  const value = parseOutput(output)
  const text =
    typeof value === 'object' && value !== null && Object.keys(value).length > 0 ? JSON.stringify(value) : output
  const words = text
    .replaceAll(/[{}[\]"_]+/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
  return words.length > OUTPUT_SAID_CHARS ? `${words.slice(0, OUTPUT_SAID_CHARS)}, and so on` : words
}

function parseOutput(output: string): unknown {
  try {
    const value: unknown = JSON.parse(output)
    return typeof value === 'string' ? JSON.parse(value) : value
  } catch {
    return {}
  }
}
