// What the processes of a fleet are started as. Rules:
// FO1: a pod is `node <flags of npm run edge> src/main.ts edge`, a worker `node src/main.ts worker`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../tree.ts'
import { podEnvironment, workerEnvironment } from './environment.ts'
import { Member, type MemberOptions } from './member.ts'

type Options = Omit<MemberOptions, 'role' | 'flags'>

/** Starts a pod; `options.env` is that of all pods. Resolves when it is ready for calls. */
export function startPod(options: Options, signal?: AbortSignal): Promise<Member> {
  const env = { ...options.env, ...podEnvironment(options.place) }
  return Member.start({ ...options, role: 'edge', flags: edgeFlags(), env }, signal)
}

/** Starts a worker; `options.env` is that of all pods. Resolves when it works. */
export function startWorker(options: Options, signal?: AbortSignal): Promise<Member> {
  const env = { ...options.env, ...workerEnvironment(options.place) }
  return Member.start({ ...options, role: 'worker', env }, signal)
}

/** The flags of Node that `npm run edge` gives. */
function edgeFlags(): string[] {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { edge: string } }
  return manifest.scripts.edge.split(' ').filter((word) => word.startsWith('--'))
}
