// Installing Debian packages as root. Rules:
// A1: `apt-get update` once, then one `apt-get install`, both without questions and without standard input.
// A2: a lock held by another apt is waited for, at most LOCK_WAIT_MAX_MS, then it is an outcome by name.
// A3: no answer from the mirror is told apart from a package that is unknown; a failed update does not stop the install,
//     since the lists on disk may do.
// A4: the whole takes at most INSTALL_MAX_MS.
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChildEnd, describeEnd, runChild } from './child.ts'

const LOCK_WAIT_MAX_MS = 180_000
const INSTALL_MAX_MS = 600_000
const LOCK_RETRY_MS = 3_000

const QUIET_OPTIONS = [
  '-o',
  'Dpkg::Use-Pty=0',
  '-o',
  'DPkg::Lock::Timeout=60',
  '-o',
  'Acquire::Retries=2',
  '-o',
  'Acquire::http::Timeout=20',
  '-o',
  'Acquire::https::Timeout=20',
  '-o',
  'APT::Update::Error-Mode=any',
]

export type AptOutcome =
  | { kind: 'installed' }
  | { kind: 'locked'; waitedMs: number }
  | { kind: 'offline'; detail: string }
  | { kind: 'unknown-package'; detail: string }
  | { kind: 'interrupted'; end: ChildEnd }
  | { kind: 'failed'; detail: string }

export type AptOptions = {
  /** The program; a test hands in its own. */
  aptGet?: string
  lockWaitMaxMs?: number
  lockRetryMs?: number
  installMaxMs?: number
  onLine?: (line: string) => void
}

type Result = { end: ChildEnd; lines: string[]; locked: boolean }

/** Brings `packages` with apt-get; the process must be root. */
export async function installPackages(packages: readonly string[], options: AptOptions = {}): Promise<AptOutcome> {
  const startedMs = performance.now()
  const lockWaitMaxMs = options.lockWaitMaxMs ?? LOCK_WAIT_MAX_MS
  const leftMs = () => Math.max(1, (options.installMaxMs ?? INSTALL_MAX_MS) - (performance.now() - startedMs))
  const attempt = (args: string[]) => runWhenUnlocked(args, leftMs, lockWaitMaxMs, options)

  const update = await attempt(['update'])
  if (update.locked) return { kind: 'locked', waitedMs: lockWaitMaxMs }
  if (update.end.kind === 'interrupted' || update.end.kind === 'not-started') return outcomeOf(update, update)
  const install = await attempt(['install', '-y', '--no-install-recommends', ...packages])
  if (install.locked) return { kind: 'locked', waitedMs: lockWaitMaxMs }
  return outcomeOf(install, update)
}

async function runWhenUnlocked(
  args: string[],
  leftMs: () => number,
  lockWaitMaxMs: number,
  options: AptOptions,
): Promise<Result> {
  const startedMs = performance.now()
  for (;;) {
    const { end, lines } = await runChild(options.aptGet ?? 'apt-get', [...QUIET_OPTIONS, ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
      maxMs: leftMs(),
      output: 'keep',
      onLine: options.onLine ?? (() => {}),
    })
    const failed = end.kind === 'exited' && end.code !== 0
    if (!failed || !lines.some(isAboutLock)) return { end, lines, locked: false }
    if (performance.now() - startedMs >= lockWaitMaxMs || leftMs() <= 1) return { end, lines, locked: true }
    options.onLine?.('another apt holds the lock, waiting')
    await sleep(options.lockRetryMs ?? LOCK_RETRY_MS)
  }
}

const isAboutLock = (line: string) => /could not get lock|unable to (lock|acquire)/i.test(line)
const isAboutNetwork = (line: string) =>
  /could not resolve|could not connect|connection (failed|timed out|refused)|temporary failure|network is unreachable|no route to host|failed to fetch/i.test(
    line,
  )
const isAboutName = (line: string) => /unable to locate package|has no installation candidate/i.test(line)

function outcomeOf(result: Result, update: Result): AptOutcome {
  const { end, lines } = result
  if (end.kind === 'exited' && end.code === 0) return { kind: 'installed' }
  if (end.kind === 'interrupted') return { kind: 'interrupted', end }
  const network = [...lines, ...update.lines].find(isAboutNetwork)
  // Unknown packages after a failed update mean that the lists never came: the network is the cause.
  if (network !== undefined) return { kind: 'offline', detail: network.trim() }
  const name = lines.find(isAboutName)
  if (name !== undefined) return { kind: 'unknown-package', detail: name.trim() }
  const last = lines.findLast((line) => line.startsWith('E:')) ?? lines.at(-1) ?? ''
  return { kind: 'failed', detail: `${describeEnd(end)}${last === '' ? '' : `: ${last.trim()}`}` }
}
