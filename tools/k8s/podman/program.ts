// podman and its companions on this machine. Rules:
// PO1: what is missing is named with the one command that brings it; nothing is installed unasked.
// PO2: every command has a bound; one that fails is an error with its last lines.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describeEnd, runChild } from '../../child.ts'

const RUNTIME = join(import.meta.dirname, 'runc-without-rlimits.py')
const PROGRAMS = ['podman', 'buildah', 'runc', 'debootstrap', 'conmon', 'python3', 'haproxy', 'redis-server', 'tar']
const PACKAGES = [
  ...['podman', 'buildah', 'runc', 'conmon', 'netavark', 'aardvark-dns', 'containernetworking-plugins', 'uidmap'],
  ...['catatonit', 'debootstrap', 'python3', 'haproxy', 'redis-server', 'postgresql'],
]
const ERROR_LINES = 8

/** Why the run cannot begin, undefined when it can. */
export function missingOnMachine(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'this run needs Linux and root'
  const folders = (process.env.PATH ?? '').split(delimiter).concat('/usr/sbin', '/sbin')
  const missing = PROGRAMS.filter((name) => !folders.some((folder) => existsSync(join(folder, name))))
  if (missing.length === 0) return undefined
  return `missing ${missing.join(', ')}; run: apt-get install -y --no-install-recommends ${PACKAGES.join(' ')}`
}

type RunOptions = { maxMs: number; onLine?: (line: string) => void }

/** Runs a program to its end; its output as lines. Rejects with its last lines when it fails. */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<string[]> {
  const { end, lines } = await runChild(command, args, { ...options, output: 'keep' })
  if (end.kind === 'exited' && end.code === 0) return lines
  throw new Error(`${command} ${args[0]}: ${describeEnd(end)}: ${lines.slice(-ERROR_LINES).join(' | ')}`)
}

/** One podman command. `--runtime` is ours: it takes out what needs CAP_SYS_RESOURCE. */
export function podman(args: readonly string[], maxMs = 60_000): Promise<string[]> {
  return run('podman', ['--runtime', RUNTIME, ...args], { maxMs })
}
