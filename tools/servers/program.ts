// What servers for tests, benches and fleets share: as root they run as an unprivileged user (launch.ts, FG5).
import { execFileSync } from 'node:child_process'
import { chownSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ownerArguments } from '../launch.ts'

const RUN_MAX_MS = 60_000

/** A new temporary folder that belongs to `user` when we are root. */
export function makeFolder(name: string, user: string): string {
  const folder = mkdtempSync(join(tmpdir(), `voiceplane-${name}-`))
  if (process.getuid?.() === 0) chownSync(folder, idOf('-u', user), idOf('-g', user))
  return folder
}

/** Runs a short program to its end, as `user` when we are root; its output is the error when it fails. */
export function runAs(user: string, program: string, programArgs: readonly string[]): void {
  const [command, ...args] = [...asOwner(user), program, ...programArgs]
  execFileSync(command!, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: RUN_MAX_MS })
}

function asOwner(user: string): string[] {
  const owner = ownerArguments(user)
  return owner.length === 0 ? [] : ['setpriv', ...owner, '--']
}

function idOf(flag: '-u' | '-g', user: string): number {
  return Number(execFileSync('id', [flag, user], { encoding: 'utf8' }))
}
