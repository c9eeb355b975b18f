// Debian's packages that a contender needs beyond those of the machine. Rules:
// PK1: as root they are installed when they are missing; otherwise the contender fails with the command to run. Nothing is skipped.
import { spawnSync } from 'node:child_process'
import type { Bench } from './bench.ts'

/** `packages`: their names with spaces between. `isMet` tries them. */
export type PackageNeed = { what: string; packages: string; isMet: () => boolean }

/** [PK1] Throws with the command to run when the packages are not there. */
export function needPackages(bench: Pick<Bench, 'note'>, { what, packages, isMet }: PackageNeed): void {
  if (isMet()) return
  const command = `apt-get install -y --no-install-recommends ${packages}`
  if (process.getuid?.() === 0) {
    bench.note(`installing ${packages}`)
    spawnSync('apt-get', ['update'], { stdio: 'ignore' })
    spawnSync('apt-get', command.split(' ').slice(1), {
      stdio: 'ignore',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  }
  if (!isMet()) throw new Error(`${what} needs packages of Debian; run: ${command}`)
}
