// The check of the chart as a command: `npm run chart`; with `--package FOLDER --image NAME` it makes the archive instead, with `--start`
// it starts what is rendered (starts.ts) and prints the outcome as JSON. Rules:
// KM1: every variant is linted, rendered, typed and held to our rules; each finding is one line; any finding is exit code 1.
// KM2: every ingress configuration that is rendered is read by the real HAProxy.
import '../node-version.mjs'
import { readCommandLine } from '../command-line.ts'
import { lintChart, packageChart, renderChart } from './chart.ts'
import { checkIngress } from './ingress.ts'
import { findLooseEnds } from './links.ts'
import { fetchK8sTools, type K8sTools } from './programs.ts'
import { findBreaches } from './rules.ts'
import { startVariants } from './starts.ts'
import { checkTyped } from './typed.ts'
import { VARIANTS, type Variant } from './variants.ts'

const USAGE = `npm run chart [-- --start | --package FOLDER --image NAME]

Lints and renders the Helm chart in each of its variants, and holds what is rendered to the types of Kubernetes, to the
project's own rules and to the real HAProxy. Each finding is a line; any finding is exit code 1.

  --start           start every pod that is rendered as a process of this machine instead
  --package FOLDER  make the archive of the chart in FOLDER instead
  --image NAME      the image that the archive names, without a tag
  --help            this text`

/** All findings of one variant. */
export async function checkVariant(tools: K8sTools, { options, forAgent }: Variant): Promise<string[]> {
  const linted = await lintChart(tools, options)
  const rendered = await renderChart(tools, options)
  if (rendered.kind === 'refused') return [...linted, rendered.reason]
  const { manifests } = rendered
  return [
    ...linted,
    ...(await checkTyped(tools, manifests)),
    ...findBreaches(manifests, forAgent),
    ...findLooseEnds(manifests),
    ...(await checkIngress(manifests)),
  ]
}

async function checkAll(tools: K8sTools): Promise<number> {
  let failed = 0
  for (const variant of VARIANTS) {
    const findings = await checkVariant(tools, variant)
    console.log(`${findings.length === 0 ? 'ok    ' : 'FAILED'}  ${variant.title}`)
    for (const finding of findings) console.log(`        ${finding}`)
    failed += findings.length
  }
  return failed
}

async function startAll(tools: K8sTools): Promise<number> {
  const started = await startVariants(tools)
  const roles = started.flatMap((one) => one.roles).length
  const problems = started.flatMap((one) => one.problems.map((problem) => `${one.variant}: ${problem}`))
  console.log(JSON.stringify({ variants: started.length, roles, problems }))
  return problems.length
}

if (import.meta.main) {
  const { values } = readCommandLine(USAGE, {
    package: { type: 'string' },
    image: { type: 'string' },
    start: { type: 'boolean' },
  })
  const tools = await fetchK8sTools()
  if (tools.kind === 'failed') {
    console.error(tools.message)
    process.exitCode = 1
  } else if (values.package !== undefined) {
    const problem =
      values.image === undefined
        ? '--package needs --image: the name of the image without a tag, as it is pushed'
        : await packageChart(tools, values.package, values.image)
    console.log(problem ?? `the chart is packed in ${values.package}`)
    if (problem !== undefined) process.exitCode = 1
  } else if ((await (values.start === true ? startAll(tools) : checkAll(tools))) > 0) {
    process.exitCode = 1
  }
}
