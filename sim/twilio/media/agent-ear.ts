// What the caller's ear notices of the agent: utterances, gaps, answers, reactions to a barge-in.
// E1: an utterance begins with audio after FINISHED_MS of empty playout, or after a clear; a shorter hole is a gap in it.
// E2: a turn's voice-to-voice time runs from the last audible frame the caller sent to the first frame of the next utterance
//     that is played. An utterance that begins while the caller still speaks makes the turn overlapped: no time is given.
// E3: a barge-in's reaction runs from its first audible frame to the clear; without one it stays unanswered.

import { isAudible } from '../wire/clip-frames.ts'

export const FINISHED_MS = 400
/** Turns, gaps and reactions kept of one call; later ones are only counted. */
const KEPT_MAX = 2000

export type Turn = {
  clip: string
  /** ms from the end of the caller's audible speech to the first agent frame played; absent: unanswered or overlapped. */
  voiceToVoiceMs?: number
  /** The same to the first audible agent frame. */
  voiceToAudibleMs?: number
  isOverlapped: boolean
}
export type BargeIn = { clip: string; reactionMs?: number }

type OpenTurn = { turn: Turn; startedMs: number; speechEndMs?: number }

export class AgentEar {
  readonly turns: Turn[] = []
  readonly bargeIns: BargeIn[] = []
  readonly gapsMs: number[] = []
  utterances = 0
  private startedMs = 0
  private emptySinceMs: number | undefined = 0
  private isCleared = true
  private isAudibleYet = false
  private turn: OpenTurn | undefined
  private audibleTurn: OpenTurn | undefined
  private bargeIn: { record: BargeIn; atMs: number } | undefined
  private lastCallerSpeechMs = Number.NEGATIVE_INFINITY

  get isSpeaking(): boolean {
    return this.utterances > 0 && this.emptySinceMs === undefined
  }

  /** Milliseconds of the present utterance; 0 when the agent is silent. */
  speakingForMs(atMs: number): number {
    return this.isSpeaking ? atMs - this.startedMs : 0
  }

  /** The agent has spoken since the caller last began to, and has been silent for FINISHED_MS. */
  hasFinished(atMs: number): boolean {
    const hasSpoken = this.utterances > 0 && this.startedMs >= this.lastCallerSpeechMs
    return hasSpoken && this.emptySinceMs !== undefined && atMs - this.emptySinceMs >= FINISHED_MS
  }

  /** A frame of agent audio is being played; true when it begins an utterance. */
  framePlayed(frame: Buffer, bytes: number, atMs: number): boolean {
    const emptyMs = this.emptySinceMs === undefined ? 0 : atMs - this.emptySinceMs
    const isNew = this.utterances === 0 || this.isCleared || emptyMs >= FINISHED_MS
    if (isNew) this.begin(atMs)
    else if (emptyMs > 0 && this.gapsMs.length < KEPT_MAX) this.gapsMs.push(Math.round(emptyMs))
    this.emptySinceMs = undefined
    if (!this.isAudibleYet && isAudible(frame, 0, bytes)) {
      this.isAudibleYet = true
      const open = this.audibleTurn
      if (open?.speechEndMs !== undefined) open.turn.voiceToAudibleMs = atMs - open.speechEndMs
      this.audibleTurn = undefined
    }
    return isNew
  }

  /** The playout had nothing to play. */
  silent(atMs: number): void {
    if (this.emptySinceMs === undefined) this.emptySinceMs = atMs
  }

  /** The plane cleared the playout. The reaction in ms when this answers a barge-in. */
  cleared(atMs: number): number | undefined {
    this.isCleared = true
    if (this.emptySinceMs === undefined) this.emptySinceMs = atMs
    const open = this.bargeIn
    if (open === undefined) return undefined
    this.bargeIn = undefined
    open.record.reactionMs = atMs - open.atMs
    return open.record.reactionMs
  }

  callerBegan(clip: string, isBargeIn: boolean, atMs: number): void {
    this.lastCallerSpeechMs = atMs
    const turn: Turn = { clip, isOverlapped: false }
    if (this.turns.length < KEPT_MAX) this.turns.push(turn)
    this.turn = { turn, startedMs: atMs }
    this.audibleTurn = undefined
    if (!isBargeIn) return
    const record: BargeIn = { clip }
    if (this.bargeIns.length < KEPT_MAX) this.bargeIns.push(record)
    this.bargeIn = { record, atMs }
  }

  callerEnded(atMs: number): void {
    if (this.turn !== undefined) this.turn.speechEndMs = atMs
  }

  private begin(atMs: number): void {
    this.utterances++
    this.startedMs = atMs
    this.isCleared = false
    this.isAudibleYet = false
    const open = this.turn
    if (open === undefined) return
    if (open.speechEndMs === undefined) open.turn.isOverlapped = true
    else {
      open.turn.voiceToVoiceMs = atMs - open.speechEndMs
      this.audibleTurn = open
    }
    this.turn = undefined
  }
}
