// The allocator that the image sets. Memory is measured with it, as operators run the plane; what glibc's allocator keeps is no figure of ours.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The environment that gives a process the allocator of the image. Throws with the package to install when this machine lacks it. */
export function allocatorOfImage(): Record<string, string> {
  const dockerfile = readFileSync(new URL('../../deploy/Dockerfile', import.meta.url), 'utf8')
  const library = /^ENV .*\bLD_PRELOAD=(\S+)/m.exec(dockerfile)?.[1]
  if (library === undefined) throw new Error('deploy/Dockerfile sets no allocator')
  const tried = spawnSync(process.execPath, ['--version'], {
    env: { ...process.env, LD_PRELOAD: library },
    encoding: 'utf8',
  })
  if (tried.stderr.includes(library)) throw new Error(`${library} is missing; run: apt-get install -y libjemalloc2`)
  return { LD_PRELOAD: library }
}
