// The metrics as Prometheus' own tools see them: the pages of real processes, docs/metrics.md, the recording rules.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until } from '../../src/kit/testing/patience.ts'
import { METRICS_PAGE, metricsPage, podFigures, workerFigures } from '../../tools/metrics-page.ts'
import { findFreePort } from '../../tools/ports.ts'
import { startPostgres } from '../../tools/servers/postgres.ts'
import { ROOT } from '../../tools/tree.ts'
import { endPrograms, run, startWorkerProcess } from '../work/worker-process.ts'

const RULES = join(ROOT, 'deploy/prometheus')
const TOKEN = 'a-token-of-operators-for-this-test'
after(endPrograms)

/** [O15] What promtool finds on a page: nothing when it is clean. */
function findingsOf(page: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8' })
  assert.ok(status !== null, 'promtool could not be started: npm test installs it')
  return `${stdout}${stderr}`
}

async function scrape(url: string): Promise<string> {
  const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })
  assert.equal(answer.status, 200)
  return answer.text()
}

const namesOn = (page: string) => [...page.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]!).sort()

test('[O15] promtool finds what a page has wrong', () => {
  assert.match(findingsOf('# HELP x_total x\n# TYPE x_total gauge\nx_total 1\n'), /_total/)
})

test('[O15] the page of a pod is clean, and docs/metrics.md has the same figures', async () => {
  const port = await findFreePort()
  const pod = run({ PORT: String(port), ADMIN_TOKEN: TOKEN, OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/' }, 'edge')
  const url = `http://127.0.0.1:${port}`
  await until(pod.said, async () => {
    assert.equal(pod.child.exitCode, null, pod.said())
    return (await fetch(`${url}/ready`).catch(() => undefined))?.ok === true
  })
  const page = await scrape(url)
  assert.equal(findingsOf(page), '')
  assert.deepEqual(
    namesOn(page),
    (await podFigures()).map(({ name }) => name),
  )
})

test('[O15] the page of a worker is clean, and docs/metrics.md has the same figures', async () => {
  const database = await startPostgres()
  try {
    const migrated = run({ DATABASE_URL: database.url }, 'migrate')
    assert.equal(await migrated.code, 0, migrated.said())
    const page = await scrape((await startWorkerProcess(database.url, { ADMIN_TOKEN: TOKEN })).url)
    assert.equal(findingsOf(page), '')
    assert.deepEqual(
      namesOn(page),
      workerFigures().map(({ name }) => name),
    )
  } finally {
    endPrograms()
    await database.stop()
  }
})

test('[O15] docs/metrics.md is what the code makes', async () => {
  assert.equal(readFileSync(METRICS_PAGE, 'utf8'), await metricsPage(), 'it is stale: npm run metrics-page')
})

test('[O15] the recording rules are right, and add up no figure of the whole cell', async () => {
  execFileSync('promtool', ['check', 'rules', join(RULES, 'voiceplane.rules.yaml')], { stdio: 'pipe' })
  execFileSync('promtool', ['test', 'rules', 'voiceplane.rules.test.yaml'], { stdio: 'pipe', cwd: RULES })
  const figures = [...(await podFigures()), ...workerFigures()]
  const text = readFileSync(join(RULES, 'voiceplane.rules.yaml'), 'utf8')
  const exprs = [...text.matchAll(/^ +expr: (.*)$/gm)].map((match) => match[1]!)
  assert.ok(exprs.length > 10)
  for (const expr of exprs) {
    for (const [named] of expr.matchAll(/(?<![:\w])voice_\w+/g)) {
      const figure = figures.find(
        ({ name, type }) => name === (type === 'histogram' ? named.replace(/_bucket$/, '') : named),
      )
      assert.ok(figure !== undefined, `${named} is no figure of the plane`)
      assert.match(expr, figure.isWholeCell ? /^(max|min) by \(cell\b/ : /\bsum by \(cell\b/, expr)
    }
  }
  for (const { name, isWholeCell } of figures)
    if (isWholeCell)
      assert.ok(
        exprs.some((expr) => expr.includes(`(${name})`)),
        `${name} has no recording rule`,
      )
})

test('[O15] the figures of the whole cell are these', async () => {
  const names = [...(await podFigures()), ...workerFigures()].filter((one) => one.isWholeCell).map(({ name }) => name)
  assert.deepEqual([...new Set(names)].sort(), [
    'voice_leases',
    'voice_model_pool_ceiling',
    'voice_postcall_jobs',
    'voice_postcall_oldest_seconds',
    'voice_queue_depth',
    'voice_quota_limit',
    'voice_quota_used',
  ])
})
