// What Linux says of a process: CPU time, memory, open sockets. Rules:
// PR1: CPU is utime + stime of the whole process (all its threads), and of its living descendants.
// PR2: what cannot be read is undefined, never zero.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Ticks a second in /proc/PID/stat; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

/** One reading of a process (with its descendants). */
type Usage = { cpuMs: number; rssKb: number; processes: number }

/** The fields of /proc/PID/stat that matter; the name in parentheses may hold spaces and parentheses itself. */
export function parseStat(text: string): { parentPid: number; cpuMs: number } | undefined {
  const end = text.lastIndexOf(')')
  if (end < 0) return undefined
  const fields = text.slice(end + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  if (!Number.isFinite(ticks)) return undefined
  return { parentPid: Number(fields[1]), cpuMs: (ticks * 1_000) / TICKS_PER_SECOND }
}

/** VmRSS of /proc/PID/status in kB. */
export function parseRssKb(text: string): number | undefined {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(text)
  return match === null ? undefined : Number(match[1])
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** `pid` and all its living descendants. */
export function familyOf(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = parseStat(read(`/proc/${name}/stat`) ?? '')
    if (stat !== undefined) parents.set(Number(name), stat.parentPid)
  }
  const family = [pid]
  for (const member of family) {
    for (const [child, parent] of parents) if (parent === member) family.push(child)
  }
  return parents.has(pid) ? family : []
}

/** [PR1] CPU and memory now; undefined when the process is gone. */
export function readUsage(pid: number): Usage | undefined {
  const usage: Usage = { cpuMs: 0, rssKb: 0, processes: 0 }
  for (const member of familyOf(pid)) {
    const stat = parseStat(read(`/proc/${member}/stat`) ?? '')
    const rssKb = parseRssKb(read(`/proc/${member}/status`) ?? '')
    if (stat === undefined || rssKb === undefined) continue
    usage.cpuMs += stat.cpuMs
    usage.rssKb += rssKb
    usage.processes += 1
  }
  return usage.processes === 0 ? undefined : usage
}

/** Open sockets of one process (not of its children). */
export function countSockets(pid: number): number | undefined {
  try {
    let sockets = 0
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      try {
        if (readlinkSync(`/proc/${pid}/fd/${name}`).startsWith('socket:')) sockets += 1
      } catch {
        // closed between the listing and the look: not open any more
      }
    }
    return sockets
  } catch {
    return undefined
  }
}

/** Busy share (0 to 1 per core, so up to the number of cores) of the machine between two readings. */
export function machineCpuMs(): { busyMs: number; totalMs: number } {
  const line = (read('/proc/stat') ?? '').split('\n')[0]!.trim().split(/\s+/).slice(1).map(Number)
  const total = line.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0)
  const idle = (line[3] ?? 0) + (line[4] ?? 0)
  return { busyMs: ((total - idle) * 1_000) / TICKS_PER_SECOND, totalMs: (total * 1_000) / TICKS_PER_SECOND }
}
