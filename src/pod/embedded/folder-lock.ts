// Who owns a folder that only one process may use. Rules:
// FL1: an owner is a process with the time of its start; a file whose owner is gone is taken over, also when another has its id.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { makePrivateFolder } from './private-folder.ts'

const TRIES = 3

/** Takes `file`; gives back what gives it free again, undefined when a living process has it. Throws when it cannot be written. */
export function takeLock(file: string): (() => void) | undefined {
  makePrivateFolder(dirname(file))
  const mine = `${process.pid} ${startOf(process.pid)}`
  for (let tried = 0; tried < TRIES; tried++) {
    try {
      writeFileSync(file, mine, { flag: 'wx' })
      return () => {
        if (textOf(file) === mine) rmSync(file, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const owner = textOf(file)
    if (owner !== undefined && isAlive(owner)) return undefined
    rmSync(file, { force: true })
  }
  return undefined
}

/** [FL1] */
function isAlive(owner: string): boolean {
  const [pid = '', start = ''] = owner.split(' ')
  if (!/^[1-9]\d*$/.test(pid)) return false
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    // Not ours to signal, but there.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return startOf(Number(pid)) === start
}

/** When a process began, in ticks since the machine did; empty where the system has no /proc. */
function startOf(pid: number): string {
  const text = textOf(`/proc/${pid}/stat`) ?? ''
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
