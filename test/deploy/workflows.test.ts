// The workflows as text: what they use is pinned, what they run exists.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { parseManifests } from '../../tools/k8s/chart.ts'
import { fetchK8sTools } from '../../tools/k8s/programs.ts'
import { listFiles, ROOT } from '../../tools/tree.ts'

type Step = { uses?: string; run?: string; name?: string }
type Job = { steps: Step[]; needs?: string; 'timeout-minutes'?: number; 'runs-on': string; container?: string }
type Workflow = { path: string; permissions?: Record<string, string>; jobs: Record<string, Job> }

let workflows: Workflow[]
before(async () => {
  const tools = await fetchK8sTools()
  if (tools.kind === 'failed') throw new Error(tools.message)
  const paths = listFiles('.github/workflows').filter((path) => path.endsWith('.yml'))
  workflows = await Promise.all(
    paths.map(async (path) => {
      const [parsed] = await parseManifests(tools, readFileSync(join(ROOT, path), 'utf8'))
      return { ...(parsed as unknown as Workflow), path }
    }),
  )
})

const eachStep = (): { path: string; step: Step }[] =>
  workflows.flatMap(({ path, jobs }) =>
    Object.values(jobs).flatMap(({ steps }) => steps.map((step) => ({ path, step }))),
  )

test('there are a workflow for each change and one for a tag', () => {
  assert.deepEqual(
    workflows.map(({ path }) => path),
    ['.github/workflows/ci.yml', '.github/workflows/release.yml'],
  )
})

test('every action is pinned by its whole version, every runner by its release', () => {
  const used = eachStep().filter(({ step }) => step.uses !== undefined)
  assert.ok(used.length >= 6)
  for (const { step } of used) assert.match(step.uses!, /^[\w.-]+\/[\w.-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})$/)
  for (const { jobs } of workflows) {
    for (const job of Object.values(jobs)) assert.match(job['runs-on'], /-\d\d\.\d\d$/)
  }
})

test('every job has a bound, and nothing may write unless its job says so', () => {
  for (const { jobs, permissions } of workflows) {
    assert.deepEqual(permissions, { contents: 'read' })
    for (const job of Object.values(jobs)) assert.ok(job['timeout-minutes']! <= 40)
  }
})

test('nothing is packed or released before the tests have passed', () => {
  for (const { jobs } of workflows) {
    for (const [name, job] of Object.entries(jobs)) assert.equal(job.needs, name === 'test' ? undefined : 'test')
    assert.ok(jobs.test!.steps.some(({ run }) => run === 'bash .ci/run'))
  }
})

test('what the steps run exists in the tree', () => {
  const text = eachStep()
    .map(({ step }) => step.run ?? '')
    .join('\n')
  const named = [...text.matchAll(/(?<![\w./-])(?:deploy|tools|\.ci)\/[\w./-]+/g)].map(([path]) => path)
  assert.ok(named.length >= 4)
  for (const path of named) assert.ok(existsSync(join(ROOT, path)), path)
})
