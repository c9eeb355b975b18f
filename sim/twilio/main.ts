// Places one call against a plane and prints what the carrier saw: `node sim/twilio/main.ts --help`.

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Arguments } from '../command-line.ts'
import { openSpeech } from '../speech/speech.ts'
import {
  type CallerScript,
  type CallReport,
  type PlaceCallOptions,
  type SpokenClip,
  startTwilioSim,
  type TwilioSim,
} from './sim.ts'

const TRY_AGAIN_MS = 10_000

const HELP = `The simulated carrier and caller: places one call at a plane and prints its time line.

  node sim/twilio/main.ts --base http://127.0.0.1:8080 --auth-token TOKEN [options]

  --base URL         where the plane listens (default http://127.0.0.1:8080)
  --voice-path PATH  its voice webhook (default /twilio/voice)
  --account-sid AC…  --auth-token TOKEN, or --auth-token-file FILE
  --from +1…  --to +1…
  --script NAME      talk | barge-in | dtmf | silence (default talk)
  --turns N          turns of the talk script (default 3)
  --say TEXT         what the caller says, synthesised; may be repeated: then the first speaks over the greeting
  --max-s SECONDS    the caller hangs up after this long (default 60)
  --announced URL    public https base that the plane announces in its TwiML; dialled at --base
  --record FILE      stereo WAV: left the caller, right what the caller heard
  --witness FILE     JSON lines
  --probe            send a probe frame every 500 ms
  --speech-dir DIR   cache of synthesised speech (.data/speech)
  --must-hear-ms N   the call fails when the caller hears less sound than that
  --tries N          calls placed until one is right, 10 s apart (default 1)
  --json             print the report as one JSON line at the end
  --help             this text
`

/** How long a caller waits for the agent to speak first. */
const GREETED_WITHIN_MS = 5_000
const OPTIONS = {
  base: { type: 'string', default: 'http://127.0.0.1:8080' },
  'voice-path': { type: 'string', default: '/twilio/voice' },
  'account-sid': { type: 'string', default: `AC${'0'.repeat(31)}1` },
  'auth-token': { type: 'string', default: '12345678901234567890123456789012' },
  'auth-token-file': { type: 'string' },
  'speech-dir': { type: 'string' },
  'must-hear-ms': { type: 'string', default: '0' },
  tries: { type: 'string', default: '1' },
  from: { type: 'string' },
  to: { type: 'string', default: '+15005550001' },
  script: { type: 'string', default: 'talk' },
  turns: { type: 'string', default: '3' },
  say: { type: 'string', multiple: true },
  'max-s': { type: 'string', default: '60' },
  announced: { type: 'string' },
  record: { type: 'string' },
  witness: { type: 'string' },
  probe: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const

function scriptOf(name: string, clips: SpokenClip[], turns: number, maxMs: number): CallerScript {
  const clip = (i: number): SpokenClip => clips[i % clips.length]!
  const listen = { waitForAgent: 'finished', timeoutMs: 20_000 } as const
  const greeting = { waitForAgent: 'finished', timeoutMs: 8_000 } as const
  switch (name) {
    case 'talk': {
      const talk = Array.from({ length: turns }, (_, i) => [{ say: clip(i) }, listen]).flat()
      return { steps: [greeting, ...talk, { hangUp: true }], maxMs }
    }
    case 'barge-in':
      return {
        steps: [{ say: clip(0) }, { bargeIn: clip(1), afterAgentMs: 800 }, listen, { hangUp: true }],
        maxMs,
      }
    case 'dtmf':
      return { steps: [greeting, { dtmf: '12#' }, listen, { hangUp: true }], maxMs }
    case 'silence':
      return { steps: [{ stayMs: maxMs }], maxMs }
    default:
      throw new Error(`no script ${name}: have talk, barge-in, dtmf, silence`)
  }
}

/** The caller says these lines in turn; the first one over the agent's greeting, as callers do, or first when there is none. */
function saying(lines: SpokenClip[], maxMs: number): CallerScript {
  const [first, ...rest] = lines
  const answer = { waitForAgent: 'finished', timeoutMs: 15_000 } as const
  const after = rest.flatMap((line) => [{ say: line }, answer])
  return {
    steps: [
      { bargeIn: first!, afterAgentMs: 900, timeoutMs: GREETED_WITHIN_MS, orSpeaks: true },
      answer,
      ...after,
      { hangUp: true },
    ],
    maxMs,
  }
}

function rewritesFor(
  base: string,
  announced: string | undefined,
): { ws: Record<string, string>; http: Record<string, string> } {
  const dial = new URL(base)
  const wsDial = `${dial.protocol === 'https:' ? 'wss' : 'ws'}://${dial.host}`
  const ws: Record<string, string> = dial.protocol === 'http:' ? { [`wss://${dial.host}`]: wsDial } : {}
  if (announced === undefined) return { ws, http: {} }
  const host = new URL(announced).host
  return { ws: { ...ws, [`wss://${host}`]: wsDial }, http: { [`https://${host}`]: dial.origin } }
}

function print(report: CallReport): void {
  const ms = (value: number | undefined): string => (value === undefined ? '–' : `${value.toFixed(1)} ms`)
  const rows: [string, string][] = [
    ['call', `${report.callSid}  ${report.status}, ${report.endCause}, ${(report.durationMs / 1000).toFixed(1)} s`],
    ['TwiML', report.verbs.map((verb) => `${verb.verb} ${verb.detail}`.trim()).join(' → ')],
    ['set-up', `101 after ${ms(report.setUpMs)}, first agent audio after ${ms(report.firstAudioMs)}`],
    ['frames', `${report.framesSent} sent, late p50 ${report.lateness.p50Ms} p99 ${report.lateness.p99Ms} ms`],
    ['agent', `${report.agentPlayedMs} of ${report.agentReceivedMs} ms played in ${report.utterances} utterances`],
    ['marks', `${report.marksReceived} received, ${report.marksPlayed} played; ${report.clearsReceived} clears`],
    [
      'turns',
      report.turns
        .map((turn) => `${turn.clip}: ${turn.isOverlapped ? 'overlapped' : ms(turn.voiceToVoiceMs)}`)
        .join(', '),
    ],
    ['barge-in', report.bargeIns.map((one) => `${one.clip}: ${ms(one.reactionMs)}`).join(', ')],
    ['gaps', report.gapsMs.length === 0 ? 'none' : `${report.gapsMs.join(', ')} ms`],
    ['warnings', report.warnings.map((warning) => `${warning.code} ${warning.text}`).join('; ') || 'none'],
    ['dropped', String(report.wasDropped)],
  ]
  for (const [name, value] of rows) if (value !== '') process.stdout.write(`${name.padEnd(10)} ${value}\n`)
}

/** undefined: there is no call to place; help or a problem was printed. */
function readFlags() {
  const given = new Arguments(process.argv.slice(2), OPTIONS)
  if (given.wantsHelp) process.stdout.write(HELP)
  else if (given.problems.length === 0) return given.values
  else {
    process.stderr.write(`${given.problems.join('\n')}\n`)
    process.exitCode = 2
  }
  return undefined
}

async function main(): Promise<void> {
  const values = readFlags()
  if (values === undefined) return
  const speech = await openSpeech({ cacheDir: values['speech-dir'] })
  const maxMs = Number(values['max-s']) * 1000
  const lines = await Promise.all((values.say ?? []).map((text) => speech.say(text, 'rms')))
  const caller =
    lines.length > 0 ? saying(lines, maxMs) : scriptOf(values.script, speech.callerClips(), Number(values.turns), maxMs)
  await speech.close()
  const rewrites = rewritesFor(values.base, values.announced)
  const tokenFile = values['auth-token-file']
  const sim = await startTwilioSim({
    accountSid: values['account-sid'],
    authToken: tokenFile === undefined ? values['auth-token'] : readFileSync(tokenFile, 'utf8').trim(),
    number: values.to,
    voiceUrl: (values.announced ?? values.base) + values['voice-path'],
    witnessPath: values.witness,
    wsUrlRewrite: rewrites.ws,
    httpUrlRewrite: rewrites.http,
  })
  const mustHearMs = Number(values['must-hear-ms'])
  let report = await placeAndWatch(sim, { from: values.from, caller, probe: values.probe, recordTo: values.record })
  for (let tried = 1; tried < Number(values.tries) && problemOf(report, mustHearMs) !== undefined; tried++) {
    process.stdout.write(`${problemOf(report, mustHearMs)}; trying again\n`)
    await sleep(TRY_AGAIN_MS)
    report = await placeAndWatch(sim, { from: values.from, caller, probe: values.probe, recordTo: values.record })
  }
  await sim.close()
  print(report)
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  const problem = problemOf(report, mustHearMs)
  if (problem !== undefined) process.stderr.write(`The call failed: ${problem}.\n`)
  else if (mustHearMs > 0) process.stdout.write(`The caller heard the agent for ${report.agentPlayedMs} ms.\n`)
  process.exitCode = problem === undefined ? 0 : 1
}

/** Why the call is not right; undefined when it is. */
function problemOf(report: CallReport, mustHearMs: number): string | undefined {
  if (mustHearMs > 0 && report.streams === 0) return `no media stream was opened (${report.endCause})`
  if (report.wasDropped) return 'the plane dropped it'
  if (report.status !== 'completed') return `it ended as ${report.status} (${report.endCause})`
  if (report.agentPlayedMs < mustHearMs)
    return `the caller heard ${report.agentPlayedMs} ms of sound, not ${mustHearMs}`
  return undefined
}

async function placeAndWatch(sim: TwilioSim, options: PlaceCallOptions): Promise<CallReport> {
  const startedMs = performance.now()
  const call = sim.placeCall(options)
  call.record.watch((event, facts) => {
    if (event === 'mark-played' || event === 'probe') return
    const at = ((performance.now() - startedMs) / 1000).toFixed(3).padStart(8)
    process.stdout.write(`${at}  ${event}  ${facts === undefined ? '' : JSON.stringify(facts).slice(0, 160)}\n`)
  })
  const hangUp = () => call.hangUp()
  process.once('SIGINT', hangUp)
  const report = await call.done
  process.off('SIGINT', hangUp)
  return report
}

await main()
