// The agent's voice on its way out: playout, its clock and the leg. Rules:
// SP1: one timer per call while there is audio to send, none otherwise.
// SP2: before the leg is open the audio waits in the playout, within its bound.
import type { Clock } from '../kit/clock.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import { type CutItem, Playout, type PlayoutSettings } from './playout.ts'
import type { Leg } from './ports.ts'

const FRAME_BYTES = 160
/** The item id of sounds that are ours and not the model's. */
export const OWN_ITEM = 'vp-filler'

export class OutboundAudio {
  readonly #playout: Playout
  readonly #clock: Clock
  readonly #wheel: Wheel
  readonly #onSent: (frames: number) => void
  #leg: Leg | undefined
  #timer: WheelTimer | undefined

  constructor(settings: PlayoutSettings, world: { clock: Clock; wheel: Wheel }, onSent: (frames: number) => void) {
    this.#playout = new Playout(settings)
    this.#clock = world.clock
    this.#wheel = world.wheel
    this.#onSent = onSent
  }

  get isPlaying(): boolean {
    return this.#playout.isPlaying
  }

  /** What is left to be heard, in ms. */
  remainingMs(): number {
    return this.#playout.remainingMs(this.#clock.monotonicMs())
  }

  attach(leg: Leg): void {
    this.#leg = leg
    this.#pump()
  }

  /** Takes agent audio; false when the bound dropped it. */
  say(responseId: string, itemId: string, ulaw: Buffer): boolean {
    const isKept = this.#playout.push(responseId, itemId, ulaw)
    if (this.#timer === undefined) this.#pump()
    return isKept
  }

  complete(itemId: string): void {
    this.#playout.complete(itemId)
  }

  onMark(name: string): 'played' | 'void' | 'unknown' {
    return this.#playout.onMark(name, this.#clock.monotonicMs())
  }

  /** Silence now. Says how far each item of the model got. */
  clear(): CutItem[] {
    if (!this.#playout.isPlaying) return []
    this.#leg?.clear()
    this.#wheel.cancel(this.#timer)
    this.#timer = undefined
    return this.#playout.clear(this.#clock.monotonicMs()).filter((item) => item.itemId !== OWN_ITEM)
  }

  close(): void {
    this.#wheel.cancel(this.#timer)
    this.#timer = undefined
    this.#leg = undefined
  }

  #pump(): void {
    const leg = this.#leg
    if (leg === undefined) return
    const nowMs = this.#clock.monotonicMs()
    for (let chunk = this.#playout.take(nowMs); chunk !== undefined; chunk = this.#playout.take(nowMs)) {
      leg.sendAudio(chunk.ulaw, chunk.mark)
      this.#onSent(Math.ceil(chunk.ulaw.length / FRAME_BYTES))
    }
    const dueMs = this.#playout.nextDueMs(nowMs)
    if (dueMs === undefined) return
    this.#timer = this.#wheel.after(Math.max(0, dueMs - nowMs), () => {
      this.#timer = undefined
      this.#pump()
    })
  }
}
