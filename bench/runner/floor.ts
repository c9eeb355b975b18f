// Builds the floor (bench/peers/floor.c) with this machine's compiler. Rules:
// FB1: it is compiled once for a bench, into the bench's folder, and ends with it.
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { packagesOf } from '../../tools/needs.ts'
import type { Bench } from './bench.ts'
import { needPackages, type PackageNeed } from './packages.ts'

const SOURCE = new URL('../peers/floor.c', import.meta.url).pathname
const COMPILE_MAX_MS = 60_000

const COMPILER: PackageNeed = {
  what: 'the floor',
  packages: packagesOf('C compiler with OpenSSL'),
  isMet: () => {
    const input = '#include <stdlib.h>\n#include <openssl/ssl.h>\n'
    return spawnSync('cc', ['-E', '-x', 'c', '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0
  },
}

const built = new WeakMap<Bench, Promise<string>>()

/** [FB1] The program's path. `flags` of the first call count. Rejects with what the compiler said, or with the packages to install. */
export function buildFloor(bench: Bench, flags: readonly string[] = ['-O2']): Promise<string> {
  const known = built.get(bench)
  if (known !== undefined) return known
  const program = compile(bench, flags)
  built.set(bench, program)
  return program
}

async function compile(bench: Bench, flags: readonly string[]): Promise<string> {
  await needPackages(bench, COMPILER)
  const program = join(bench.folder, 'floor')
  const args = [...flags, '-o', program, SOURCE, '-lssl', '-lcrypto']
  await promisify(execFile)('cc', args, { timeout: COMPILE_MAX_MS })
  return program
}
