// The report as a table for a terminal: every figure with its sample size.
import type { Failure } from './failures.ts'
import type { Figures } from './figures.ts'
import type { Summary } from './statistics.ts'

const LABEL_WIDTH = 30
const CELL_WIDTH = 9
const LISTED_MAX = 8
const TEXT_WIDTH = 100

/** The whole report as text, ending in a line feed. */
export function formatTable(figures: Figures, failures: readonly Failure[] = []): string {
  return `${[
    ...callLines(figures),
    '',
    row('milliseconds', ['n', 'p50', 'p95', 'p99', 'max']),
    ...latencyRows(figures),
    '',
    ...audioLines(figures),
    '',
    ...generatorLines(figures),
    ...failureLines(failures),
  ].join('\n')}\n`
}

function callLines({ setUp, calls, warnings, scriptTimeouts }: Figures): string[] {
  const share = setUp.succeeded + setUp.failed === 0 ? '–' : percent(setUp.succeeded / (setUp.succeeded + setUp.failed))
  return [
    row('calls offered', [setUp.offered]),
    row('set up', [setUp.succeeded, share]),
    row('set-up failed', [setUp.failed]),
    ...(setUp.refused > 0 ? [row('refused with a sentence', [setUp.refused])] : []),
    ...(setUp.messages > 0 ? [row('left a message', [setUp.messages])] : []),
    ...(setUp.callBacks > 0 ? [row('offered a call-back', [setUp.callBacks])] : []),
    ...(setUp.leftEarly > 0 ? [row('left before set-up', [setUp.leftEarly])] : []),
    row('dropped', [calls.dropped]),
    ...(calls.mute > 0 ? [row('heard nothing', [calls.mute])] : []),
    ...listLines('scenario', calls.scenarios),
    ...listLines('ended', calls.ends),
    ...listLines('warning', warnings),
    ...listLines('caller waited in vain', scriptTimeouts),
  ]
}

function latencyRows({ setUp, addedLatencyMs, voiceToVoiceMs, bargeIn, agentAudio }: Figures): string[] {
  return [
    summaryRow('set-up (webhook → 101)', setUp.ms),
    summaryRow('first agent audio', setUp.firstAudioMs),
    summaryRow('added, carrier → model', addedLatencyMs.carrierToModel),
    summaryRow('added, model → carrier', addedLatencyMs.modelToCarrier),
    summaryRow('voice-to-voice', voiceToVoiceMs),
    summaryRow('speech_started → clear', bargeIn.speechStartedToClearMs),
    summaryRow('caller speaks → clear', bargeIn.callerSpeechToClearMs),
    summaryRow('gaps in agent audio', agentAudio.gapsMs),
  ]
}

function audioLines({ turns, bargeIn, frames, callerAudio, agentAudio }: Figures): string[] {
  return [
    row('turns asked', [turns.asked]),
    row('  answered', [turns.answered]),
    row('  overlapped', [turns.overlapped]),
    row('  unanswered', [turns.unanswered]),
    row('barge-ins made', [bargeIn.made]),
    row('  cleared', [bargeIn.cleared]),
    row('frames sent', [frames.sent]),
    row('frames lost', [frames.lost ?? '–']),
    row('frames too many', [frames.extra ?? '–']),
    row('callers speak', [callerAudio.spokenShare === null ? '–' : percent(callerAudio.spokenShare)]),
    row('agent speaks', [agentAudio.playedShare === null ? '–' : percent(agentAudio.playedShare)]),
    row('gaps per minute of agent', [agentAudio.gapsPerMinute ?? '–']),
  ]
}

function generatorLines({ generator }: Figures): string[] {
  const { p50, p99, max, n } = generator.latenessMs
  const lines = [
    row('generator lateness, ms', ['n', 'p50', 'p99', 'max']),
    row(generator.processes === 1 ? '  one process' : `  ${generator.processes} processes, the worst`, [
      n,
      number(p50),
      number(p99),
      number(max),
    ]),
  ]
  if (!generator.isLate) return [...lines, 'The generator was on time.']
  const calls = generator.lateCalls > 0 ? ` ${generator.lateCalls} calls were more than 100 ms behind at a time.` : ''
  return [...lines, `THE GENERATOR WAS LATE.${calls} Do not trust: ${generator.distrust.join(', ')}.`]
}

function failureLines(failures: readonly Failure[]): string[] {
  if (failures.length === 0) return []
  const lines = failures.flatMap(({ kind, title, calls, seen, cause, fix }) => [
    '',
    `${kind === 'failure' ? '✖' : 'note:'} ${title}: ${calls} ${calls === 1 ? 'call' : 'calls'}`,
    ...wrapped('seen ', seen),
    ...wrapped('cause', cause),
    ...wrapped('fix  ', fix),
  ])
  return ['', 'What went wrong (docs/load.md has more):', ...lines]
}

/** Lines of at most TEXT_WIDTH characters under a label. */
function wrapped(label: string, text: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > TEXT_WIDTH) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.map((one, i) => `  ${i === 0 ? label : ' '.repeat(label.length)}  ${one}`)
}

function summaryRow(label: string, summary: Summary | null): string {
  if (summary === null) return row(label, ['–', 'needs --model-witness (docs/load.md)'])
  return row(label, [summary.n, number(summary.p50), number(summary.p95), number(summary.p99), number(summary.max)])
}

function listLines(label: string, counts: Record<string, number>): string[] {
  const entries = Object.entries(counts).sort((a, b) => b[1] - a[1])
  const lines = entries.slice(0, LISTED_MAX).map(([name, n]) => row(`${label}: ${name}`, [n]))
  return entries.length > LISTED_MAX ? [...lines, row(`${label}: others`, [entries.length - LISTED_MAX])] : lines
}

function row(label: string, cells: (string | number)[]): string {
  return `${label.padEnd(LABEL_WIDTH)}${cells.map((cell) => ` ${String(cell).padStart(CELL_WIDTH - 1)}`).join('')}`
}

function number(value: number | null): string {
  return value === null ? '–' : value.toFixed(1)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}
