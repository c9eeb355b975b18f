// The chart through the real helm: lint, and rendering to documents. Rules:
// KC1: a refusal of helm (schema, `fail`) is a value with helm's own words.
// KC2: what is rendered is parsed strictly: a key that stands twice is an error.
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeEnd, runChild } from '../child.ts'
import { ROOT } from '../tree.ts'
import type { K8sTools } from './programs.ts'

export const CHART = join(ROOT, 'deploy/helm/voiceplane')
/** The release and namespace of every rendering here. */
export const RELEASE = 'vp'
export const NAMESPACE = 'voice'
const HELM_MAX_MS = 30_000

/** One rendered Kubernetes object. */
export type Manifest = { apiVersion: string; kind: string; metadata: { name: string }; [key: string]: unknown }
export type Rendered = { kind: 'rendered'; manifests: Manifest[]; text: string } | { kind: 'refused'; reason: string }

/** What to render: value files of the chart by name (`values-small.yaml`) or others by their whole path, and `--set` texts; `strings` are kept as strings. */
export type RenderOptions = {
  files?: readonly string[]
  sets?: readonly string[]
  strings?: readonly string[]
  /** Only this template. */
  only?: string
}

/** Set in every rendering: the chart has no default for it. */
const BASE_URL = 'publicBaseUrl=https://voice.example.com'

function argumentsOf(options: RenderOptions): string[] {
  const files = (options.files ?? []).flatMap((file) => ['-f', resolve(CHART, file)])
  const sets = (options.sets ?? []).flatMap((text) => ['--set', text])
  const strings = (options.strings ?? []).flatMap((text) => ['--set-string', text])
  return [...files, '--set', BASE_URL, ...sets, ...strings]
}

/** `helm template`, parsed. */
export async function renderChart(tools: K8sTools, options: RenderOptions = {}): Promise<Rendered> {
  const only = options.only === undefined ? [] : ['-s', options.only]
  const args = ['template', RELEASE, CHART, '-n', NAMESPACE, ...argumentsOf(options), ...only]
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
  const args = ['lint', '--strict', CHART, ...argumentsOf(options)]
  const { end, lines } = await runChild(tools.helm, args, {
    maxMs: HELM_MAX_MS,
    output: 'keep',
    env: helmEnvironment(),
  })
  return end.kind === 'exited' && end.code === 0 ? [] : [...lines, describeEnd(end)]
}

/** `helm package` into `folder`; the text says what went wrong. */
export async function packageChart(tools: K8sTools, folder: string): Promise<string | undefined> {
  const args = ['package', CHART, '--destination', folder]
  const { end, lines } = await runChild(tools.helm, args, {
    maxMs: HELM_MAX_MS,
    output: 'keep',
    env: helmEnvironment(),
  })
  return end.kind === 'exited' && end.code === 0 ? undefined : [...lines, describeEnd(end)].join('\n')
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
