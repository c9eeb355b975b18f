// The rendered objects against the types and schemas of Kubernetes, without a cluster. Rules:
// KT1: the schema (kubernetes-models) finds values of a wrong type or form; unknown keys pass it.
// KT2: the compiler finds unknown keys: each object is written as a literal of its type and compiled.
// KT3: a kind without types is a finding, never passed over.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runChild } from '../child.ts'
import { ROOT } from '../tree.ts'
import type { Manifest } from './chart.ts'
import type { K8sTools } from './programs.ts'

const COMPILE_MAX_MS = 60_000

/** Where the types of a group that is no part of Kubernetes itself come from. */
const PACKAGES: Readonly<Record<string, string>> = {
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
}

function moduleOf(manifest: Manifest): string {
  const group = manifest.apiVersion.split('/')[0]!
  return `${PACKAGES[group] ?? 'kubernetes-models'}/${manifest.apiVersion}/${manifest.kind}`
}

const titleOf = (manifest: Manifest): string => `${manifest.kind} ${manifest.metadata.name}`

type Model = new (data: Manifest) => { validate(): void }

/** All findings of KT1 to KT3, one text each; none means that the objects are sound. */
export async function checkTyped(tools: K8sTools, manifests: readonly Manifest[]): Promise<string[]> {
  const known = manifests.filter((manifest) => existsSync(fileOf(tools, manifest)))
  const unknown = manifests.filter((manifest) => !known.includes(manifest))
  const findings = unknown.map((manifest) => `${titleOf(manifest)}: no types for ${manifest.apiVersion}`)
  for (const manifest of known) {
    const loaded = (await import(pathToFileURL(fileOf(tools, manifest)).href)) as Record<string, Model>
    try {
      new loaded[manifest.kind]!(manifest).validate()
    } catch (error) {
      findings.push(`${titleOf(manifest)}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return [...findings, ...(await compile(tools, known))]
}

const fileOf = (tools: K8sTools, manifest: Manifest): string =>
  join(tools.typesFolder, 'node_modules', `${moduleOf(manifest)}.js`)

async function compile(tools: K8sTools, manifests: readonly Manifest[]): Promise<string[]> {
  const folder = mkdtempSync(join(tools.typesFolder, 'check-'))
  try {
    // One object a line, so that a finding's line number names the object.
    const lines = manifests.map(
      (manifest, index) =>
        `export const d${index}: import('${moduleOf(manifest)}').I${manifest.kind} = ${JSON.stringify(manifest)}`,
    )
    writeFileSync(join(folder, 'manifests.ts'), `${lines.join('\n')}\n`)
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2024',
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: [],
    }
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['manifests.ts'] }))
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const { end, lines: output } = await runChild(process.execPath, [tsc, '--pretty', 'false', '-p', folder], {
      maxMs: COMPILE_MAX_MS,
      output: 'keep',
    })
    if (end.kind === 'exited' && end.code === 0) return []
    return output.filter((line) => line.includes('error')).map((line) => withTitle(line, manifests))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** `…manifests.ts(3,17): error …` → `Service vp-pods: error …`. */
function withTitle(line: string, manifests: readonly Manifest[]): string {
  const match = /manifests\.ts\((\d+),\d+\): (.*)$/.exec(line)
  const manifest = match === null ? undefined : manifests[Number(match[1]) - 1]
  return match === null || manifest === undefined ? line : `${titleOf(manifest)}: ${match[2]}`
}
