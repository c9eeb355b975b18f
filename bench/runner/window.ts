// CPU and memory of one process over a steady stretch of calls.
import { setTimeout as sleep } from 'node:timers/promises'
import { round } from '../../load/report/statistics.ts'
import { machineCpuMs, readUsage } from './procfs.ts'

/** What a process used while `calls` calls were live. */
export type WindowFigures = {
  calls: number
  seconds: number
  /** CPU-ms of the process for each second of each call. */
  cpuMsPerCallSecond: number
  /** Share of ONE core that the process used; near 1 for a single-threaded one means saturated. */
  coreShare: number
  /** Share of the whole machine that was busy, 0 to 1. */
  machineShare: number
  rssKb: number
}

/** Pure: figures from two readings `seconds` apart. */
export function windowFigures(
  calls: number,
  seconds: number,
  cpuMs: number,
  rssKb: number,
  machineShare: number,
): WindowFigures {
  return {
    calls,
    seconds,
    cpuMsPerCallSecond: calls === 0 ? Number.NaN : cpuMs / (calls * seconds),
    coreShare: cpuMs / (seconds * 1_000),
    machineShare,
    rssKb,
  }
}

/** Samples `pid` for `seconds`; `liveCalls` is read at the start and the end and must not change by more than 2 %. */
export async function sampleWindow(pid: number, seconds: number, liveCalls: () => number): Promise<WindowFigures> {
  const startCalls = liveCalls()
  const before = readUsage(pid)
  const machineBefore = machineCpuMs()
  const startUs = process.hrtime.bigint()
  await sleep(seconds * 1_000)
  const after = readUsage(pid)
  const machineAfter = machineCpuMs()
  const elapsedS = Number(process.hrtime.bigint() - startUs) / 1e9
  if (before === undefined || after === undefined) throw new Error(`process ${pid} ended while it was measured`)
  const endCalls = liveCalls()
  if (Math.abs(endCalls - startCalls) > Math.max(1, startCalls * 0.02)) {
    throw new Error(`the window was not steady: ${startCalls} calls at its start, ${endCalls} at its end`)
  }
  const machineShare = (machineAfter.busyMs - machineBefore.busyMs) / (machineAfter.totalMs - machineBefore.totalMs)
  const calls = (startCalls + endCalls) / 2
  return windowFigures(calls, elapsedS, after.cpuMs - before.cpuMs, after.rssKb, machineShare)
}

/** A process that is watched, with its descendants. */
type Watched = { name: string; pid: number }

/** Shares of ONE core per watched process over a stretch, and what was saturated. */
export type Shares = {
  processes: { name: string; coreShare: number; rssMb: number; processes: number }[]
  machineShare: number
  saturated: string[]
}

const SATURATED_CORE_SHARE = 0.9
const SATURATED_MACHINE_SHARE = 0.95

/** Samples several processes at once for `seconds`. */
export async function sampleShares(watched: readonly Watched[], seconds: number): Promise<Shares> {
  const before = watched.map(({ pid }) => readUsage(pid)?.cpuMs ?? Number.NaN)
  const machineBefore = machineCpuMs()
  const startedAt = performance.now()
  await sleep(seconds * 1_000)
  const elapsedMs = performance.now() - startedAt
  const machineAfter = machineCpuMs()
  const processes = watched.map(({ name, pid }, i) => {
    const usage = readUsage(pid)
    const spentMs = (usage?.cpuMs ?? Number.NaN) - before[i]!
    return {
      name,
      coreShare: round(spentMs / elapsedMs),
      rssMb: round((usage?.rssKb ?? Number.NaN) / 1_024),
      processes: usage?.processes ?? 0,
    }
  })
  const machineShare = round(
    (machineAfter.busyMs - machineBefore.busyMs) / (machineAfter.totalMs - machineBefore.totalMs),
  )
  return { processes, machineShare, saturated: saturatedOf(processes, machineShare) }
}

/** Names of what had nothing left: the machine, and single processes near a whole core. */
export function saturatedOf(processes: Shares['processes'], machineShare: number): string[] {
  const single = processes
    .filter((one) => one.coreShare / Math.max(1, one.processes) > SATURATED_CORE_SHARE)
    .map((one) => one.name)
  return machineShare > SATURATED_MACHINE_SHARE ? ['the machine', ...single] : single
}
