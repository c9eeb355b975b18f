// The chart through the real helm: lint, and rendering to documents. Rules:
// KC1: a refusal of helm (schema, `fail`) is a value with helm's own words.
// KC2: what is rendered is parsed strictly: a key that stands twice is an error.
// KC3: the chart of the tree names no image; a packed chart names the one it is packed with, so that there is one source.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeEnd, runChild } from '../child.ts'
import { ROOT } from '../tree.ts'
import type { K8sTools } from './programs.ts'

export const CHART = join(ROOT, 'deploy/helm/voiceplane')
/** The release and namespace of every rendering here. */
const RELEASE = 'vp'
export const NAMESPACE = 'voice'
const HELM_MAX_MS = 30_000

/** One rendered Kubernetes object. */
export type Manifest = { apiVersion: string; kind: string; metadata: { name: string }; [key: string]: unknown }
type Rendered = { kind: 'rendered'; manifests: Manifest[]; text: string } | { kind: 'refused'; reason: string }

/** What to render: value files of the chart by name (`values-small.yaml`) or others by their whole path, and `--set` texts; `strings` are kept as strings. */
export type RenderOptions = {
  files?: readonly string[]
  sets?: readonly string[]
  strings?: readonly string[]
  /** Only this template. */
  only?: string
  /** APIs that the cluster has: without any of them, helm renders as if there were none. */
  apis?: readonly string[]
  /** Without a public address and an image: what `files` say alone. */
  isBare?: boolean
  /** Another chart than the tree's: a packed one. */
  chart?: string
}

/** Set in every rendering unless told otherwise: the chart has no default for them. */
const NEEDED = ['publicBaseUrl=https://voice.example.com', 'image.repository=registry.example.com/voiceplane']

function argumentsOf(options: RenderOptions): string[] {
  const files = (options.files ?? []).flatMap((file) => ['-f', resolve(CHART, file)])
  const sets = (options.sets ?? []).flatMap((text) => ['--set', text])
  const strings = (options.strings ?? []).flatMap((text) => ['--set-string', text])
  const needed = NEEDED.flatMap((text) => ['--set', text])
  const apis = (options.apis ?? []).flatMap((api) => ['--api-versions', api])
  return [...(options.isBare === true ? [] : needed), ...files, ...sets, ...strings, ...apis]
}

/** The NOTES that a person sees after an installation. */
export async function renderNotes(tools: K8sTools, options: RenderOptions = {}): Promise<string> {
  const args = [
    'install',
    RELEASE,
    CHART,
    '-n',
    NAMESPACE,
    '--dry-run=client',
    ...argumentsOf({ ...options, apis: [] }),
  ]
  const { lines } = await runChild(tools.helm, args, { maxMs: HELM_MAX_MS, output: 'keep', env: helmEnvironment() })
  return lines.slice(lines.indexOf('NOTES:') + 1).join('\n')
}

/** `helm template`, parsed. */
export async function renderChart(tools: K8sTools, options: RenderOptions = {}): Promise<Rendered> {
  const only = options.only === undefined ? [] : ['-s', options.only]
  const args = ['template', RELEASE, options.chart ?? CHART, '-n', NAMESPACE, ...argumentsOf(options), ...only]
  const { end, lines } = await runChild(tools.helm, args, {
    maxMs: HELM_MAX_MS,
    output: 'keep',
    env: helmEnvironment(),
  })
  const text = lines.join('\n')
  if (end.kind !== 'exited' || end.code !== 0) return { kind: 'refused', reason: text || describeEnd(end) }
  return { kind: 'rendered', manifests: await parseManifests(tools, text), text }
}

/** `helm lint --strict`; no line means that it passed. */
export async function lintChart(tools: K8sTools, options: RenderOptions = {}): Promise<string[]> {
  const args = ['lint', '--strict', CHART, ...argumentsOf({ ...options, apis: [] })]
  const { end, lines } = await runChild(tools.helm, args, {
    maxMs: HELM_MAX_MS,
    output: 'keep',
    env: helmEnvironment(),
  })
  return end.kind === 'exited' && end.code === 0 ? [] : [...lines, describeEnd(end)]
}

const IMAGE_DEFAULT = /^( {2}repository:) ""/m

/** `helm package` into `folder`, with `image` (without a tag) as the chart's default; the text says what went wrong. */
export async function packageChart(tools: K8sTools, folder: string, image: string): Promise<string | undefined> {
  const copy = mkdtempSync(join(tmpdir(), 'voiceplane-chart-'))
  try {
    const chart = join(copy, basename(CHART))
    cpSync(CHART, chart, { recursive: true })
    const values = readFileSync(join(chart, 'values.yaml'), 'utf8')
    if (!IMAGE_DEFAULT.test(values)) return 'values.yaml has no empty image.repository to fill'
    writeFileSync(join(chart, 'values.yaml'), values.replace(IMAGE_DEFAULT, `$1 ${JSON.stringify(image)}`))
    const args = ['package', chart, '--destination', folder]
    const { end, lines } = await runChild(tools.helm, args, {
      maxMs: HELM_MAX_MS,
      output: 'keep',
      env: helmEnvironment(),
    })
    return end.kind === 'exited' && end.code === 0 ? undefined : [...lines, describeEnd(end)].join('\n')
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** Helm reads and writes nothing of the user's own. */
function helmEnvironment(): NodeJS.ProcessEnv {
  const none = join(ROOT, '.tools/helm-home')
  return { PATH: process.env.PATH, HELM_CACHE_HOME: none, HELM_CONFIG_HOME: none, HELM_DATA_HOME: none }
}

type YamlDocument = { errors: readonly Error[]; warnings: readonly Error[]; toJS(): unknown }
type Yaml = { parseAllDocuments(text: string, options: { uniqueKeys: boolean; strict: boolean }): YamlDocument[] }

/** The objects of a YAML stream; empty documents are left out. */
export async function parseManifests(tools: Pick<K8sTools, 'typesFolder'>, text: string): Promise<Manifest[]> {
  const entry = pathToFileURL(join(tools.typesFolder, 'node_modules/yaml/dist/index.js')).href
  const { default: yaml } = (await import(entry)) as { default: Yaml }
  const documents = yaml.parseAllDocuments(text, { uniqueKeys: true, strict: true })
  const problem = documents.flatMap((document) => [...document.errors, ...document.warnings])[0]
  if (problem !== undefined) throw new Error(`the rendered YAML is not sound: ${problem.message}`)
  return documents.map((document) => document.toJS() as Manifest | null).filter((manifest) => manifest !== null)
}
