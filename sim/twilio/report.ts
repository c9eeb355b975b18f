// What the carrier saw of one call. Times in milliseconds, latencies of probes in microseconds.
// Q1: `wasDropped` is true when a media stream ended by the server's close or by an error that the script did not ask for, and
//     no other stream took its place; `resumes` counts the streams that did.
// Q3: an agent's hang-up is no drop: the server closed the last stream with 1000, the caller had heard the agent, and the call then
//     ended by TwiML without a sentence of a later document (that is how a server says sorry).
// Q2: lists are bounded; a list at its bound keeps its first entries and the counter goes on.

import { AgentEar, type BargeIn, type Turn } from './media/agent-ear.ts'
import { Lateness, type LatenessSummary } from './media/lateness.ts'
import type { Witness } from './witness.ts'

const KEPT_MAX = 2000

export type CallStatus =
  | 'queued'
  | 'initiated'
  | 'ringing'
  | 'in-progress'
  | 'completed'
  | 'busy'
  | 'failed'
  | 'no-answer'
  | 'canceled'
/** Who or what ended the call. */
export type EndCause =
  | 'caller-hung-up'
  | 'twiml-hangup'
  | 'twiml-ended'
  | 'rest-completed'
  | 'webhook-failed'
  | 'not-answered'
  | 'sim-closed'
export type Warning = { code: number; text: string }
/** Who ended a media stream: the server (`plane`), the carrier (call over, redirected), or the script or a fault on purpose. */
export type StreamEnd = {
  by: 'plane' | 'carrier' | 'script' | 'handshake'
  closeCode?: number
  /** What the server gave as the reason of its close. */
  closeReason?: string
  errorCode?: number
  text: string
}

export type CallReport = {
  callSid: string
  call: number
  status: CallStatus
  endCause: EndCause
  durationMs: number
  /** Verbs in the order they ran: name and the text or URL that matters. */
  verbs: { verb: string; detail: string }[]
  /** From the voice webhook's sending to the 101 of the first stream. */
  setUpMs?: number
  /** From the voice webhook's sending to the first agent audio that arrived. */
  firstAudioMs?: number
  streams: number
  streamEnds: StreamEnd[]
  closeCode?: number
  wasDropped: boolean
  /** The agent ended the call, or handed the caller on by Dial. */
  agentEnd?: 'hung-up' | 'transferred'
  resumes: number
  framesSent: number
  /** Those of them between the first and the last sound of something that the caller said. */
  framesSpoken: number
  mediaReceived: number
  marksReceived: number
  marksPlayed: number
  clearsReceived: number
  agentReceivedMs: number
  agentPlayedMs: number
  utterances: number
  turns: Turn[]
  /** Voice-to-voice of the turns that were answered after the caller had finished. */
  voiceToVoiceMs: number[]
  bargeIns: BargeIn[]
  /** Holes shorter than 400 ms inside the agent's utterances. */
  gapsMs: number[]
  probesSent: number
  /** Model to carrier, by probe frames. */
  probeLatenciesUs: number[]
  lateness: LatenessSummary
  processLateness: LatenessSummary
  scriptTimeouts: string[]
  warnings: Warning[]
  /** Status of the second upgrade with a used URL (fault `reuseStreamUrl`). */
  reuseStatus?: number
  /** Bodies of the answers to a duplicated voice webhook (fault `duplicateWebhook`). */
  duplicateAnswers?: string[]
  recording?: string
}

/** Gathers a call's report while it lives. */
export class CallRecord {
  readonly ear: AgentEar = new AgentEar()
  readonly lateness: Lateness = new Lateness()
  readonly verbs: { verb: string; detail: string }[] = []
  readonly streamEnds: StreamEnd[] = []
  readonly probeLatenciesUs: number[] = []
  readonly scriptTimeouts: string[] = []
  readonly warnings: Warning[] = []
  webhookSentMs = 0
  setUpMs: number | undefined
  firstAudioMs: number | undefined
  streams = 0
  resumes = 0
  wasDropped = false
  /** TwiML documents that have run. */
  documents = 0
  private streamEndedIn: { document: number; verbs: number } | undefined
  private hasApologised = false
  framesSent = 0
  framesSpoken = 0
  mediaReceived = 0
  marksReceived = 0
  marksPlayed = 0
  clearsReceived = 0
  agentReceivedBytes = 0
  agentPlayedBytes = 0
  probesSent = 0
  reuseStatus: number | undefined
  duplicateAnswers: string[] | undefined
  recording: string | undefined
  readonly callSid: string
  readonly call: number
  private readonly witness: Witness
  private onlooker: ((event: string, facts?: Readonly<Record<string, unknown>>) => void) | undefined

  constructor(callSid: string, call: number, witness: Witness) {
    this.callSid = callSid
    this.call = call
    this.witness = witness
  }

  /** Lets one onlooker see each note as it is made. */
  watch(onlooker: (event: string, facts?: Readonly<Record<string, unknown>>) => void): void {
    this.onlooker = onlooker
  }

  note(event: string, facts?: Readonly<Record<string, unknown>>): void {
    this.onlooker?.(event, facts)
    this.witness.note(event, this.call, facts)
  }

  warn(code: number, text: string): void {
    if (this.warnings.length < KEPT_MAX) this.warnings.push({ code, text })
    this.note('warning', { code, text })
  }

  /** [Q1] A media stream is open. */
  streamOpened(): void {
    this.streams++
    if (this.wasDropped && this.streams > 1) this.resumes++
    this.wasDropped = false
    this.streamEndedIn = undefined
  }

  /** A media stream is over. `isExpected`: the script wanted the agent to end it. */
  streamClosed(end: StreamEnd, isExpected: boolean): void {
    if (end.by === 'plane' && !isExpected) this.wasDropped = true
    this.streamEndedIn = { document: this.documents, verbs: this.verbs.length }
    this.hasApologised = false
    this.streamEnds.push(end)
  }

  verb(verb: string, detail: string): void {
    const ended = this.streamEndedIn
    if (verb === 'Say' && ended !== undefined && this.documents > ended.document) this.hasApologised = true
    if (this.verbs.length < KEPT_MAX) this.verbs.push({ verb, detail })
    this.note('verb', { verb, detail })
  }

  probe(latencyUs: number): void {
    if (this.probeLatenciesUs.length < KEPT_MAX) this.probeLatenciesUs.push(latencyUs)
    this.note('probe', { latencyUs })
  }

  /** [Q3] */
  private agentEnd(last: StreamEnd | undefined, cause: EndCause): CallReport['agentEnd'] {
    if (last?.by !== 'plane' || last.closeCode !== 1000 || this.agentReceivedBytes === 0) return undefined
    const after = this.verbs.slice(this.streamEndedIn?.verbs ?? this.verbs.length)
    if (after.some(({ verb }) => verb === 'Dial')) return 'transferred'
    const isEndedByTwiml = cause === 'twiml-hangup' || cause === 'twiml-ended'
    return isEndedByTwiml && !this.hasApologised ? 'hung-up' : undefined
  }

  /** The finished report. */
  report(status: CallStatus, endCause: EndCause, durationMs: number, process: LatenessSummary): CallReport {
    const { ear } = this
    const lastEnd = this.streamEnds.at(-1)
    const agentEnd = this.agentEnd(lastEnd, endCause)
    return {
      callSid: this.callSid,
      call: this.call,
      status,
      endCause,
      durationMs,
      verbs: this.verbs,
      setUpMs: this.setUpMs,
      firstAudioMs: this.firstAudioMs,
      streams: this.streams,
      streamEnds: this.streamEnds,
      closeCode: lastEnd?.closeCode,
      wasDropped: this.wasDropped && agentEnd === undefined,
      ...(agentEnd !== undefined && { agentEnd }),
      resumes: this.resumes,
      framesSent: this.framesSent,
      framesSpoken: this.framesSpoken,
      mediaReceived: this.mediaReceived,
      marksReceived: this.marksReceived,
      marksPlayed: this.marksPlayed,
      clearsReceived: this.clearsReceived,
      agentReceivedMs: this.agentReceivedBytes / 8,
      agentPlayedMs: this.agentPlayedBytes / 8,
      utterances: ear.utterances,
      turns: ear.turns,
      voiceToVoiceMs: ear.turns.flatMap((turn) => turn.voiceToVoiceMs ?? []),
      bargeIns: ear.bargeIns,
      gapsMs: ear.gapsMs,
      probesSent: this.probesSent,
      probeLatenciesUs: this.probeLatenciesUs,
      lateness: this.lateness.summary(),
      processLateness: process,
      scriptTimeouts: this.scriptTimeouts,
      warnings: this.warnings,
      reuseStatus: this.reuseStatus,
      duplicateAnswers: this.duplicateAnswers,
      recording: this.recording,
    }
  }
}
