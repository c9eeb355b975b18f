// The demonstration call of role all: a simulated carrier places one call through the real path, and the newcomer sees it.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Call } from './call/call.ts'
import { runLines } from './child.ts'
import type { Config } from './config.ts'
import type { Pod } from './pod/pod.ts'

const CALLER = 'sim/twilio/main.ts'
const LINES = ['Hello, I need a check up.']

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
}): Promise<boolean> {
  const { config, pod, say } = parts
  const recording = join(config.dataDir, 'demo-call.wav')
  mkdirSync(config.dataDir, { recursive: true })
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
  if (config.http.isPublicBaseUrlSet) args.push('--announced', config.http.publicBaseUrl)
  for (const line of LINES) args.push('--say', line)
  let report: Record<string, unknown> = {}
  const onLine = (line: string): void => {
    if (line.startsWith('{')) report = JSON.parse(line) as Record<string, unknown>
  }
  const code = await runLines(join(parts.root, CALLER), args, onLine, parts.signal)
  pod.onCallEnded = undefined
  pod.calls.onTimeline = undefined
  if (ended === undefined || code !== 0) {
    if (!parts.signal.aborted) say('The demonstration call did not come through; the log above says why.')
    return false
  }
  show(ended, report, recording, say)
  return true
}

function show(call: Call, report: Record<string, unknown>, recording: string, say: Say): void {
  say('')
  say('Transcript (the caller’s words are the script’s: the offline model hears speech, but does not understand it)')
  for (const item of call.state.transcript.items) {
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
  say(`Recording (left the caller, right the agent as played): ${recording}`)
}
