// The demonstration call of role all: a simulated carrier places one call through the real path, and the newcomer sees it.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from './call/call.ts'
import { runLines } from './child.ts'
import type { Config } from './config.ts'
import type { CallSid } from './kit/ids.ts'
import type { Pod } from './pod/pod.ts'
import type { CallRecord } from './work/ports.ts'

const CALLER = 'sim/twilio/main.ts'
/** What the simulated carrier tells (sim/twilio/media/script.ts). */
const NOT_FIRST = 'the agent did not speak first'
const RECORD_MAX_MS = 10_000
const RECORD_POLL_MS = 100
const LINES = ['Hello, I need a check up.']
/** Answers enough to see more than one of an agent's tools and handoffs. */
const OWN_AGENT_LINES = [...LINES, 'Yes, that would be good.', 'Thank you, and one more thing.']

/** Prints one line for people. */
export type Say = (line: string) => void

/**
 * Places the demonstration call against `url`, prints its timeline and transcript and where its recording is.
 * Resolves with true when the call was served to its end.
 */
export async function runDemo(parts: {
  config: Config
  pod: Pod
  url: string
  root: string
  say: Say
  signal: AbortSignal
  /** Gives the record of a call; undefined: none is kept. */
  record: ((callSid: CallSid) => Promise<CallRecord | undefined>) | undefined
  /** The offline model answers. */
  isOffline: boolean
  /** What an operator shows to read the record, in words. */
  token: string
}): Promise<boolean> {
  const { config, pod, say } = parts
  const recording = join(config.dataDir, 'demo-call.wav')
  say('')
  say('A demonstration call: a simulated caller, real sockets, real audio. Seconds since the call was offered:')
  let ended: Call | undefined
  pod.calls.onTimeline = ({ atMs, what, detail }) =>
    say(`  ${(atMs / 1000).toFixed(2).padStart(6)}  ${what}${detail === undefined ? '' : `: ${detail}`}`)
  pod.onCallEnded = (call) => {
    ended ??= call
  }
  const token = config.twilio.authTokens[0]
  const args = ['--base', parts.url, '--max-s', '45', '--record', recording, '--json']
  if (token !== undefined) args.push('--auth-token', token)
  if (config.twilio.accountSid !== undefined) args.push('--account-sid', config.twilio.accountSid)
  if (config.http.isPublicBaseUrlSet) args.push('--announced', config.http.publicBaseUrl)
  for (const line of config.offlineToolEvery > 0 && parts.isOffline ? OWN_AGENT_LINES : LINES) args.push('--say', line)
  let report: Record<string, unknown> = {}
  const onLine = (line: string): void => {
    if (line.startsWith('{')) report = JSON.parse(line) as Record<string, unknown>
  }
  const code = await runLines(join(parts.root, CALLER), args, onLine, parts.signal)
  pod.onCallEnded = undefined
  pod.calls.onTimeline = undefined
  if (ended === undefined || code !== 0) {
    if (!parts.signal.aborted) say('The demonstration call failed; the log above says why.')
    return false
  }
  show(ended, report, recording, say)
  if (parts.record !== undefined) await showRecord(ended.callSid, parts.record, parts.token, say)
  return true
}

/** What stays of the call. The worker writes it a moment after the end. */
async function showRecord(
  callSid: CallSid,
  find: (callSid: CallSid) => Promise<CallRecord | undefined>,
  token: string,
  say: Say,
): Promise<void> {
  const untilMs = performance.now() + RECORD_MAX_MS
  let record: CallRecord | undefined
  do {
    await sleep(RECORD_POLL_MS)
    record = await find(callSid).catch(() => undefined)
  } while (record?.analysis === undefined && performance.now() < untilMs)
  say('')
  if (record?.analysis === undefined) {
    say(`The record of the call was not there after ${RECORD_MAX_MS / 1_000} s; the worker is still writing it.`)
    return
  }
  const { analysis, durationMs = 0, turns, cost } = record
  say(`Record of the call ${callSid} (GET /admin/calls/${callSid} with ${token})`)
  say(`  duration ${(durationMs / 1_000).toFixed(1)} s, turns ${turns ?? 0}, ended by ${record.cause ?? 'unknown'}`)
  say(`  summary  ${analysis.summary}`)
  say(
    `  found by ${analysis.analyser}: intent ${analysis.intent}, sentiment ${analysis.sentiment}, satisfaction ${analysis.satisfaction} of 5, disposition ${analysis.disposition}`,
  )
  const amount = (value: number) => value.toFixed(4)
  if (cost === undefined) say('  cost     not known: PRICES says what tokens and minutes cost')
  else say(`  cost     ${cost.currency} ${amount(cost.modelAmount)} model, ${amount(cost.carrierAmount)} carrier`)
}

function show(call: Call, report: Record<string, unknown>, recording: string, say: Say): void {
  say('')
  say('Transcript (the caller’s words are the script’s: the offline model detects speech, but does not understand it)')
  for (const item of call.state.transcript.items) {
    if (item.kind === 'message') continue
    if (item.kind === 'caller' && item.text === '') continue // heard, but not transcribed
    if (item.kind === 'tool') say(`  [tool]   ${item.name}(${item.arguments}) → ${item.output ?? 'no answer'}`)
    else
      say(
        `  ${item.kind.padEnd(7)}  ${item.text}${item.kind === 'agent' && item.cut ? ' — (the caller spoke over it)' : ''}`,
      )
  }
  const turns = Array.isArray(report.turns) ? (report.turns as { voiceToVoiceMs?: number }[]) : []
  const measured = turns.flatMap((turn) =>
    typeof turn.voiceToVoiceMs === 'number' ? [`${Math.round(turn.voiceToVoiceMs)} ms`] : [],
  )
  say('')
  say(
    `Measured at the carrier: voice to voice ${measured.join(', ') || 'not measured'}; dropped: ${String(report.wasDropped)}`,
  )
  const timeouts = Array.isArray(report.scriptTimeouts) ? (report.scriptTimeouts as string[]) : []
  for (const first of timeouts.filter((one) => one.startsWith(NOT_FIRST)))
    say(`Note: ${first}, as it is meant to be with caller-first.`)
  say(`Recording (left the caller, right the agent as played): ${recording}`)
}
