// The report as one page that needs nothing else: script, style and data are inside it. Rules:
// PG1: the page loads nothing from anywhere, so it can be kept and sent as it is.
// PG2: text from the run is escaped; data cannot end its own script element.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Figures } from './figures.ts'
import type { LoadReport } from './report.ts'
import type { Summary } from './statistics.ts'

const beside = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')

function uplotFile(name: string): string {
  const entry = createRequire(import.meta.url).resolve('uplot')
  return readFileSync(join(dirname(entry), name), 'utf8')
}

/** [PG1] The whole page. */
export function formatPage(report: LoadReport): string {
  const { figures, run } = report
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Load report: ${escapeHtml(run.scenarios)}, ${run.calls} calls</title>
<style>${uplotFile('uPlot.min.css')}${beside('page.css')}</style>
</head>
<body>
<main>
<h1>Load report</h1>
<p class="subtitle">${escapeHtml(subtitle(report))}</p>
${verdicts(report)}
${failures(report)}
<div class="tiles">${tiles(figures).join('')}</div>
<div class="card"><h2>Voice-to-voice: share of turns answered within a time</h2><div id="voice-to-voice"></div></div>
<div class="pair">
<div class="card"><h2>Calls live, and how late the generator was</h2><div id="timeline"></div></div>
<div class="card"><h2>Latency added by the server</h2><div id="added"></div></div>
</div>
<div class="card scroll"><h2>Latencies in milliseconds</h2>${latencyTable(figures)}</div>
<div class="pair">
<div class="card scroll"><h2>Calls</h2>${countTable(callCounts(figures))}</div>
<div class="card scroll"><h2>Audio and turns</h2>${countTable(audioCounts(figures))}</div>
</div>
<p class="note">${escapeHtml(footnote(report))}</p>
</main>
<script type="application/json" id="data">${embed({ plots: report.plots })}</script>
<script>${uplotFile('uPlot.iife.min.js')}</script>
<script>${beside('plots.js')}</script>
</body>
</html>
`
}

/** [PG2] */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]!)
}

function embed(data: unknown): string {
  return JSON.stringify(data).replaceAll('<', '\\u003c')
}

function subtitle({ run, machine, startedAt }: LoadReport): string {
  return `${run.calls} calls at ${run.ratePerSecond}/s, held ${run.holdS} s, ${run.scenarios} → ${run.urls.join(', ')} · ${startedAt} · ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`
}

function verdicts({ figures, isClean, wasInterrupted }: LoadReport): string {
  const { setUp, calls, generator } = figures
  const lines = [
    isClean
      ? verdict('good', 'All calls were served.', `${setUp.succeeded} set up, none dropped.`)
      : verdict(
          'bad',
          'Not all calls were served.',
          `${setUp.failed} set-ups failed, ${setUp.refused} calls were refused, ${setUp.messages + setUp.callBacks} left a message or were offered a call-back, ${calls.dropped} were dropped, ${calls.mute} heard nothing.`,
        ),
  ]
  if (generator.isLate) {
    lines.push(verdict('warn', 'The generator itself was late.', `Do not trust: ${generator.distrust.join(', ')}.`))
  }
  if (wasInterrupted)
    lines.push(verdict('warn', 'The run was interrupted.', 'Figures are of what had happened until then.'))
  return lines.join('\n')
}

function verdict(tone: string, head: string, text: string): string {
  return `<p class="verdict ${tone}"><b>${escapeHtml(head)}</b> ${escapeHtml(text)}</p>`
}

function failures({ failures: all }: LoadReport): string {
  if (all.length === 0) return ''
  const items = all.map(
    ({ kind, title, calls, seen, cause, fix }) =>
      `<li class="${kind}"><b>${escapeHtml(title)}</b> (${calls} ${calls === 1 ? 'call' : 'calls'})<dl><dt>Seen</dt><dd>${escapeHtml(seen)}</dd><dt>Cause</dt><dd>${escapeHtml(cause)}</dd><dt>Fix</dt><dd>${escapeHtml(fix)}</dd></dl></li>`,
  )
  return `<div class="card"><h2>What went wrong, and how to mend it</h2><ul class="failures">${items.join('')}</ul></div>`
}

function tiles({ setUp, voiceToVoiceMs, addedLatencyMs, bargeIn, frames, calls, generator }: Figures): string[] {
  const decided = setUp.succeeded + setUp.failed
  return [
    tile(
      'Set up',
      decided === 0 ? '–' : `${((setUp.succeeded / decided) * 100).toFixed(1)} %`,
      `${setUp.succeeded} of ${decided}`,
    ),
    tile('Dropped', String(calls.dropped), `of ${calls.finished} finished`),
    summaryTile('Voice-to-voice p50', voiceToVoiceMs),
    summaryTile('Added, carrier → model', addedLatencyMs.carrierToModel),
    summaryTile('Added, model → carrier', addedLatencyMs.modelToCarrier),
    summaryTile('Speech → clear', bargeIn.speechStartedToClearMs),
    tile('Frames lost', frames.lost === null ? '–' : String(frames.lost), `of ${frames.sent} sent`),
    tile('Generator late, p99', `${ms(generator.latenessMs.p99)} ms`, `max ${ms(generator.latenessMs.max)} ms`),
  ]
}

function tile(name: string, value: string, more: string): string {
  return `<div class="tile"><div class="name">${escapeHtml(name)}</div><div class="value">${escapeHtml(value)}</div><div class="more">${escapeHtml(more)}</div></div>`
}

function summaryTile(name: string, summary: Summary | null): string {
  if (summary === null || summary.p50 === null)
    return tile(name, '–', summary === null ? 'no model witness' : 'no samples')
  return tile(name, `${ms(summary.p50)} ms`, `p99 ${ms(summary.p99)} ms, n ${summary.n}`)
}

function ms(value: number | null): string {
  return value === null ? '–' : value.toFixed(value < 100 ? 1 : 0)
}

function latencyTable({ setUp, addedLatencyMs, voiceToVoiceMs, bargeIn, agentAudio, generator }: Figures): string {
  const rows: [string, Summary | null][] = [
    ['Set-up, webhook to 101', setUp.ms],
    ['First agent audio', setUp.firstAudioMs],
    ['Added, carrier → model', addedLatencyMs.carrierToModel],
    ['Added, model → carrier', addedLatencyMs.modelToCarrier],
    ['Voice-to-voice', voiceToVoiceMs],
    ['speech_started → clear', bargeIn.speechStartedToClearMs],
    ['Caller speaks → clear', bargeIn.callerSpeechToClearMs],
    ['Gaps in agent audio', agentAudio.gapsMs],
  ]
  const cells = ([name, s]: [string, Summary | null]): string =>
    s === null
      ? `<tr><td>${name}</td><td colspan="5">needs --model-witness</td></tr>`
      : `<tr><td>${name}</td><td>${s.n}</td><td>${ms(s.p50)}</td><td>${ms(s.p95)}</td><td>${ms(s.p99)}</td><td>${ms(s.max)}</td></tr>`
  const late = generator.latenessMs
  const own = `<tr><td>Generator’s own lateness</td><td>${late.n}</td><td>${ms(late.p50)}</td><td>–</td><td>${ms(late.p99)}</td><td>${ms(late.max)}</td></tr>`
  const head = '<tr><th></th><th>n</th><th>p50</th><th>p95</th><th>p99</th><th>max</th></tr>'
  return `<table class="figures">${head}${rows.map(cells).join('')}${own}</table>`
}

function callCounts({ setUp, calls, warnings, scriptTimeouts }: Figures): [string, string | number][] {
  return [
    ['Offered', setUp.offered],
    ['Set up', setUp.succeeded],
    ['Set-up failed', setUp.failed],
    ['Refused with a sentence', setUp.refused],
    ['Left a message', setUp.messages],
    ['Offered a call-back', setUp.callBacks],
    ['Left before set-up', setUp.leftEarly],
    ['Dropped', calls.dropped],
    ['Heard nothing', calls.mute],
    ...Object.entries(calls.scenarios).map(([name, n]): [string, number] => [`Scenario ${name}`, n]),
    ...Object.entries(calls.ends).map(([name, n]): [string, number] => [`Ended: ${name}`, n]),
    ...Object.entries(warnings).map(([name, n]): [string, number] => [`Warning ${name}`, n]),
    ...Object.entries(scriptTimeouts).map(([name, n]): [string, number] => [`Waited in vain: ${name}`, n]),
  ]
}

function audioCounts({ turns, bargeIn, frames, agentAudio }: Figures): [string, string | number][] {
  return [
    ['Turns asked', turns.asked],
    ['Answered', turns.answered],
    ['Overlapped', turns.overlapped],
    ['Unanswered', turns.unanswered],
    ['Barge-ins made', bargeIn.made],
    ['Barge-ins cleared', bargeIn.cleared],
    ['Frames sent', frames.sent],
    ['Frames lost', frames.lost ?? '–'],
    ['Agent speaks, % of the time', agentAudio.playedShare === null ? '–' : (agentAudio.playedShare * 100).toFixed(1)],
    ['Gaps per minute of agent', agentAudio.gapsPerMinute ?? '–'],
  ]
}

function countTable(rows: [string, string | number][]): string {
  return `<table class="figures">${rows.map(([name, value]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(String(value))}</td></tr>`).join('')}</table>`
}

function footnote({ figures, run }: LoadReport): string {
  return `Percentiles are exact (nearest rank over all samples). Added latency is measured by time-stamped probe frames, barge-in by the logs of both ends, everything else by the callers; nothing comes from the server’s own counters. ${figures.generator.processes} caller processes, seed ${run.seed}.`
}
