// Debian's packages that a contender needs beyond those of the machine. Rules:
// PK1: as root they are installed when they are missing; otherwise the contender fails with the command to run. Nothing is skipped.
import { installPackages } from '../../tools/apt.ts'
import type { Bench } from './bench.ts'

/** `packages`: their names (tools/needs.ts). `isMet` tries them. */
export type PackageNeed = { what: string; packages: readonly string[]; isMet: () => boolean }

/** [PK1] Rejects with the command to run when the packages are not there. */
export async function needPackages(bench: Pick<Bench, 'note'>, { what, packages, isMet }: PackageNeed): Promise<void> {
  if (isMet()) return
  if (process.getuid?.() === 0) {
    bench.note(`installing ${packages.join(' ')}`)
    await installPackages(packages)
  }
  if (isMet()) return
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`
  throw new Error(`${what} needs packages of Debian; run: ${command}`)
}
