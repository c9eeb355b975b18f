// A scripted caller, one step at a time, driven by the 20 ms clock.
// R1: steps that need the agent (say, bargeIn, waitForAgent, dtmf, dropSocket) wait while no media stream is open;
//     pauseMs, stayMs and hangUp run on, as a caller's patience does.
// R2: after the last step the caller hangs up; at maxMs the caller hangs up wherever the script is.
// R3: a wait that runs out is counted and the script goes on.
// R5: a caller who waits for the agent to speak first may speak after all when it does not (`silentMs`, `orSpeaks`). It counts as R3.
// R4: at most STEPS_PER_TICK_MAX steps begin in one tick, so an empty endless repeat cannot spin.

import { type ClipFrames, framesOf, type SpokenClip } from '../wire/clip-frames.ts'
import type { AgentEar } from './agent-ear.ts'

const STEPS_PER_TICK_MAX = 32
const DIGIT_EVERY_MS = 200
const BARGE_IN_WAIT_MS = 20_000
/** How the timeout of a caller begins who had to speak first. */
export const NOT_FIRST = 'the agent did not speak first'

export type DropHow = 'reset' | 'close-without-stop' | 'stop-without-close'
export type Step =
  | { say: SpokenClip }
  | { pauseMs: number }
  /** `silentMs`: how long an agent is waited for that has not said anything yet. */
  | { waitForAgent: 'speaking' | 'finished'; timeoutMs: number; silentMs?: number }
  /** `orSpeaks`: at the timeout the caller speaks all the same. */
  | { bargeIn: SpokenClip; afterAgentMs: number; timeoutMs?: number; orSpeaks?: true }
  | { dtmf: string }
  | { hangUp: true }
  | { stayMs: number }
  | { repeat: number | 'until end'; steps: Step[] }
  | { dropSocket: DropHow }

export type CallerScript = {
  steps: Step[]
  /** The caller hangs up after this long, counted from the answer. */
  maxMs: number
  /** The agent is expected to end the call: its closing the stream is not a drop. */
  isEndedByAgent?: boolean
}

/** What a script makes happen beside sound. */
export type CallerActs = {
  pressDigit(digit: string): void
  hangUp(): void
  dropSocket(how: DropHow): void
  timedOut(step: string): void
}

type Level = { steps: Step[]; at: number; roundsLeft: number }

export class ScriptRunner {
  /** The clip that sounds in this tick, with `frameIndex`; undefined for silence. */
  sounding: ClipFrames | undefined
  frameIndex = 0
  private readonly levels: Level[]
  private enteredMs: number | undefined
  private speaking: ClipFrames | undefined
  private position = 0
  private isOver = false
  private readonly maxMs: number
  private readonly acts: CallerActs
  private readonly ear: AgentEar
  private startedMs: number | undefined

  constructor(script: CallerScript, ear: AgentEar, acts: CallerActs) {
    this.levels = [{ steps: script.steps, at: 0, roundsLeft: 1 }]
    this.maxMs = script.maxMs
    this.ear = ear
    this.acts = acts
  }

  /** Decides what is heard in this tick. `hasStream`: a media stream is open. `clockMs`: the time by which the caller waits. */
  tick(atMs: number, hasStream: boolean, clockMs = atMs): void {
    this.sounding = undefined
    if (this.isOver) return
    this.startedMs ??= clockMs
    if (clockMs - this.startedMs >= this.maxMs) {
      this.finish()
      return
    }
    for (let begun = 0; begun < STEPS_PER_TICK_MAX; begun++) {
      const step = this.current()
      if (step === undefined) {
        this.finish()
        return
      }
      this.enteredMs ??= clockMs
      if (!this.isDone(step, atMs, clockMs - this.enteredMs, hasStream)) return
      this.advance(step)
      if (this.sounding !== undefined || this.isOver) return
    }
  }

  private finish(): void {
    this.isOver = true
    this.acts.hangUp()
  }

  private current(): Step | undefined {
    for (;;) {
      const level = this.levels.at(-1)
      if (level === undefined) return undefined
      const step = level.steps[level.at]
      if (step !== undefined) return step
      level.roundsLeft--
      level.at = 0
      if (level.roundsLeft <= 0 || level.steps.length === 0) {
        this.levels.pop()
        const outer = this.levels.at(-1)
        if (outer !== undefined) outer.at++
      }
    }
  }

  private advance(step: Step): void {
    this.enteredMs = undefined
    this.position = 0
    if ('repeat' in step) {
      const rounds = step.repeat === 'until end' ? Number.POSITIVE_INFINITY : step.repeat
      this.levels.push({ steps: rounds > 0 ? step.steps : [], at: 0, roundsLeft: rounds })
    } else this.levels.at(-1)!.at++
  }

  private isDone(step: Step, atMs: number, spentMs: number, hasStream: boolean): boolean {
    if ('pauseMs' in step) return spentMs >= step.pauseMs
    if ('stayMs' in step) return spentMs >= step.stayMs
    if ('repeat' in step) return true
    if ('hangUp' in step) {
      this.finish()
      return true
    }
    if (!hasStream) {
      this.enteredMs = undefined
      return false
    }
    if ('say' in step) return this.speak(framesOf(step.say), false, atMs)
    if ('bargeIn' in step) return this.bargeIn(step, atMs, spentMs)
    if ('waitForAgent' in step) return this.waitForAgent(step, atMs, spentMs)
    if ('dtmf' in step) return this.press(step.dtmf, spentMs)
    this.acts.dropSocket(step.dropSocket)
    return true
  }

  private speak(clip: ClipFrames, isBargeIn: boolean, atMs: number): boolean {
    if (this.speaking !== clip) {
      this.speaking = clip
      this.position = 0
    }
    this.sounding = clip
    this.frameIndex = this.position++
    if (this.frameIndex === clip.firstAudible) this.ear.callerBegan(clip.name, isBargeIn, atMs)
    if (this.frameIndex === clip.speechEnd) this.ear.callerEnded(atMs)
    if (this.position < clip.count) return false
    this.speaking = undefined
    return true
  }

  private bargeIn(step: Extract<Step, { bargeIn: SpokenClip }>, atMs: number, spentMs: number): boolean {
    if (this.speaking === undefined && this.ear.speakingForMs(atMs) < step.afterAgentMs) {
      const { timeoutMs = BARGE_IN_WAIT_MS, orSpeaks } = step
      if (spentMs < timeoutMs) return false
      const isFirst = orSpeaks === true && this.ear.utterances === 0
      this.acts.timedOut(isFirst ? notFirst(timeoutMs) : 'bargeIn')
      if (orSpeaks !== true) return true
    }
    return this.speak(framesOf(step.bargeIn), this.ear.utterances > 0, atMs)
  }

  private waitForAgent(step: Extract<Step, { waitForAgent: string }>, atMs: number, spentMs: number): boolean {
    if (step.waitForAgent === 'speaking' ? this.ear.isSpeaking : this.ear.hasFinished(atMs)) return true
    if (step.silentMs !== undefined && this.ear.utterances === 0 && spentMs >= step.silentMs) {
      this.acts.timedOut(notFirst(step.silentMs))
      return true
    }
    if (spentMs < step.timeoutMs) return false
    this.acts.timedOut(`waitForAgent ${step.waitForAgent}`)
    return true
  }

  private press(digits: string, spentMs: number): boolean {
    if (spentMs < this.position * DIGIT_EVERY_MS) return false
    const digit = digits[this.position]
    if (digit !== undefined) {
      this.acts.pressDigit(digit)
      this.position++
    }
    return this.position >= digits.length
  }
}

const notFirst = (ms: number): string => `${NOT_FIRST}: the caller spoke after ${ms / 1_000} s`
