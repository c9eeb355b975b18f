// What a response needs of its session.
import type { Output } from '../dialogue/dialogue.ts'
import type { Wheel } from '../kit/wheel.ts'
import type { WitnessFields } from '../kit/witness.ts'
import type { Faults } from '../options.ts'
import type { VoiceBank } from '../voice/fragments.ts'
import type { Item, Sound } from './conversation.ts'
import type { Ids, ServerEvent } from './events.ts'
import type { ResponseEnd, ResponseRun } from './response.ts'

/** The way out, as far as the ladders need it. */
export type EventSink = {
  readonly ids: Ids
  send(event: ServerEvent): void
  faults(): Faults
}

export type ResponseHost = EventSink & {
  readonly wheel: Wheel
  readonly voices: VoiceBank
  /** Generation speed, times real time. */
  readonly speed: number
  readonly hasProbes: boolean
  readonly conversationId: string
  /** Call number learnt from the caller's probes. */
  readonly call: number
  sendText(text: string): void
  /** Adds an item to the conversation unless it is out of band; the id before it. */
  addItem(item: Item, isOutOfBand: boolean): string | null
  /** What is put out for a call at an MCP server; call `run` once the response is done. */
  callMcp(
    output: Extract<Output, { kind: 'mcp' }>,
    responseId: string,
    outputIndex: number,
  ): { item: Item; run: () => void }
  setSound(id: string, sound: Sound, ms: number): void
  /** The failure this response must end in, when that fault is on. */
  takeRateLimit(): ResponseEnd | undefined
  /** Runs the mid-response fault when it is due; true when the response must not go on by itself. */
  midResponse(audioMs: number): boolean
  note(event: string, fields: WitnessFields): void
  finished(run: ResponseRun, end: ResponseEnd): void
}
