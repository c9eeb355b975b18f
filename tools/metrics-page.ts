// docs/metrics.md, made from the registries of a pod and of a worker: `npm run metrics-page`. Rules:
// MP1: names, types, labels and helps are those that the code registers; nothing of the table is written by hand.
// MP2: a figure of the whole cell says so in its help, so that the page and Prometheus' own metadata agree.
import './node-version.mjs'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { readConfig } from '../src/config.ts'
import { startEdge } from '../src/edge.ts'
import { systemClock } from '../src/kit/clock.ts'
import { silentLog } from '../src/kit/log.ts'
import { registerDroppedLines, registerUnauthenticated } from '../src/ops/metrics.ts'
import { registerProcess } from '../src/ops/process.ts'
import { isWholeCell } from '../src/ops/tally.ts'
import { WorkMetrics } from '../src/ops/work.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import { readCommandLine } from './command-line.ts'
import { ROOT } from './tree.ts'

const USAGE = `npm run metrics-page

Writes docs/metrics.md from the metrics that a pod and a worker register.

  --help  this text`

export const METRICS_PAGE = join(ROOT, 'docs/metrics.md')

/** One figure as it is registered. `labels` may be empty; `isWholeCell`: every pod reports the same figure of the whole cell. */
type Figure = {
  name: string
  type: 'counter' | 'gauge' | 'histogram' | 'summary'
  labels: readonly string[]
  help: string
  isWholeCell: boolean
}

/** What prom-client keeps of a metric, beside its methods. */
type Registered = {
  name: string
  help: string
  type?: unknown
  labelNames?: readonly string[]
  constructor: { name: string }
}

const WHOLE_CELL_NOTE = / \(whole cell: .*\)$/

function figureOf(metric: Registered): Figure {
  const type = typeof metric.type === 'string' ? metric.type : metric.constructor.name.toLowerCase()
  return {
    name: metric.name,
    type: type as Figure['type'],
    labels: (metric.labelNames ?? []).filter((label) => label !== 'le'),
    help: metric.help.replace(WHOLE_CELL_NOTE, ''),
    isWholeCell: isWholeCell(metric.help),
  }
}

/** The figures of a registry, by name. */
function figuresOf(registry: Registry): Figure[] {
  const metrics = registry.getMetricsAsArray() as unknown as Registered[]
  return metrics.map(figureOf).sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** The figures of a pod: one is started, on a free port of loopback, and closed again. */
export async function podFigures(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-metrics-'))
  const reading = readConfig({ PORT: '0', DATA_DIR: folder, OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/' })
  if (reading.kind === 'invalid') throw new Error(JSON.stringify(reading.problems))
  let figures: Figure[] = []
  const log = silentLog
  const edge = await startEdge({
    ...{ config: reading.config, pack: makeClinicPack({ clock: systemClock, log }), log },
    alsoServe: async (_app, registry) => {
      figures = figuresOf(registry)
    },
  })
  await edge.close()
  rmSync(folder, { recursive: true, force: true })
  return figures
}

/** The figures of a worker. */
export function workerFigures(): Figure[] {
  const registry = new Registry()
  registerProcess(registry)
  registerUnauthenticated(registry)
  registerDroppedLines(registry)
  new WorkMetrics().register(registry, () => undefined)
  const figures = figuresOf(registry)
  registry.clear()
  return figures
}

/** The unit of a figure, as its name tells it. */
function unitOf({ name }: Figure): string {
  const base = name.replace(/_total$/, '')
  for (const unit of ['seconds', 'bytes']) if (base.endsWith(`_${unit}`) || base.includes(`_${unit}_`)) return unit
  return name.endsWith('_info') ? 'none, always 1' : 'number'
}

const row = (figure: Figure): string => {
  const { name, type, labels, help, isWholeCell } = figure
  const cells = [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    unitOf(figure),
    isWholeCell ? '**whole cell**' : 'process',
    help.replaceAll('|', '\\|'),
  ]
  return `| ${cells.join(' | ')} |`
}

const table = (figures: readonly Figure[]): string =>
  [
    '| name | type | labels | unit | of the | meaning |',
    '| --- | --- | --- | --- | --- | --- |',
    ...figures.map(row),
  ].join('\n')

/** The text of docs/metrics.md. */
export async function metricsPage(): Promise<string> {
  const pod = await podFigures()
  const worker = workerFigures()
  const isOurs = ({ name }: Figure) => name.startsWith('voice_')
  const inBoth = worker.filter(({ name }) => pod.some((one) => one.name === name))
  const alone = (figures: Figure[]) =>
    figures.filter((one) => isOurs(one) && !inBoth.some(({ name }) => name === one.name))
  return `# Metrics

\`npm run metrics-page\` writes this page from the code; a test fails when it is stale. \`GET /metrics\` shows these figures to an operator with the scope \`metrics\`, or on the port of
\`OPS_PORT\` ([operators.md](operators.md)). \`npm start\` is pod and worker in one process and shows both.

A figure **of the process** belongs to one pod or worker: add them up over the cell. A figure **of the whole cell** is read from the store that all share, and every pod or worker reports the
same: take the maximum (of \`voice_model_pool_ceiling\` the minimum), never the sum. [deploy/prometheus/voiceplane.rules.yaml](../deploy/prometheus/voiceplane.rules.yaml) has recording
rules that do so. They group by the label \`cell\`, which the chart's ServiceMonitors set; with another scrape configuration set it on the targets when you have more than one cell.

A figure that cannot be read now is absent, never zero. Every name begins with \`voice_\` and keeps its meaning; those of the process are prom-client's.

## Of a pod

${table(alone(pod))}

## Of a worker

${table(alone(worker))}

## Of both

${table([...inBoth.filter(isOurs), ...inBoth.filter((one) => !isOurs(one))])}
`
}

if (import.meta.main) {
  readCommandLine(USAGE, {})
  writeFileSync(METRICS_PAGE, await metricsPage())
  console.log('docs/metrics.md is written')
}
