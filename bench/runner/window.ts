// CPU and memory of one process over a steady stretch of calls.
import { setTimeout as sleep } from 'node:timers/promises'
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
