// What a siege costs a pod: the lateness of its event loop, its descriptors and its memory. Rules:
// PW1: lateness is the pod's own metric, its p99 of the last second, read each second. Beside it stands for how long its main thread was
//      ready in that time and was given no core: what the machine did to it. The rest is the pod's own.
// PW2: descriptors and memory are read from the kernel.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { readUsage } from '../../bench/runner/procfs.ts'

const SAMPLE_MS = 1_000
const LAG = /^voice_event_loop_lag_seconds (\S+)$/m
const NS_PER_MS = 1e6

export type WatchedPod = { name: string; pid: number; url: string }
export type Holding = { descriptors: number; rssMb: number }
/** Milliseconds. */
export type Lateness = { seen: number[]; own: number[]; machine: number[]; unread: number }

export const noLateness = (): Lateness => ({ seen: [], own: [], machine: [], unread: 0 })

/** [PW1] Samples all pods until `isOver`; each sample goes where `into` says then. */
export async function watchLateness(
  pods: readonly WatchedPod[],
  token: string,
  into: () => Lateness,
  isOver: () => boolean,
): Promise<void> {
  const delays = pods.map(({ pid }) => runDelayMs(pid))
  while (!isOver()) {
    await sleep(SAMPLE_MS)
    for (const [i, pod] of pods.entries()) {
      const lateness = into()
      const ms = await lagOf(pod, token)
      const delayMs = runDelayMs(pod.pid)
      const waitedMs = delayMs - delays[i]!
      delays[i] = delayMs
      if (ms === undefined || !Number.isFinite(waitedMs)) {
        lateness.unread += 1
        continue
      }
      lateness.seen.push(ms)
      lateness.machine.push(waitedMs)
      lateness.own.push(Math.max(0, ms - waitedMs))
    }
  }
}

/** Of the main thread since it began. Of a process that is gone: not a number. */
function runDelayMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / NS_PER_MS
  } catch {
    return Number.NaN
  }
}

async function lagOf({ url }: WatchedPod, token: string): Promise<number | undefined> {
  try {
    const page = await (
      await fetch(`${url}/metrics`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(5_000),
      })
    ).text()
    const [, seconds] = LAG.exec(page) ?? []
    return seconds === undefined ? undefined : Number(seconds) * 1_000
  } catch {
    return undefined
  }
}

/** [PW2] Of a process that is gone: not a number, which no check holds for. */
export function holdingOf({ pid }: WatchedPod): Holding {
  try {
    const descriptors = readdirSync(`/proc/${pid}/fd`).length
    return { descriptors, rssMb: Math.round((readUsage(pid)?.rssKb ?? Number.NaN) / 1_024) }
  } catch {
    return { descriptors: Number.NaN, rssMb: Number.NaN }
  }
}

/** The nearest rank; undefined of nothing. */
export function p99(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(values.length * 0.99) - 1)]
}
