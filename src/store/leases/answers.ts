// What the functions of the library answer, read into the words of the port. The answers are our own: a wrong one is a bug, and throws.
import type {
  Acquired,
  Activated,
  CellUsage,
  Grant,
  LeaseSeen,
  PodEntry,
  Polled,
  PoolMoved,
  Reaped,
  Spent,
  Transferred,
} from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'

type Answer = [kind: string, ...rest: (string | number)[]]

/** [kind, pod, address, pool, epoch] */
function grantOf([, pod, address, pool, epoch]: Answer): Grant {
  return { pod: String(pod), address: String(address), pool: String(pool), epoch: Number(epoch) }
}

function strange(answer: Answer): never {
  throw new Error(`the lease library answered ${JSON.stringify(answer)}`)
}

export function readAcquired(value: unknown): Acquired {
  const answer = value as Answer
  switch (answer[0]) {
    case 'granted':
    case 'repeated':
      return { kind: answer[0], ...grantOf(answer) }
    case 'queued':
      return { kind: 'queued', ahead: Number(answer[1]), etaMs: Number(answer[2]) }
    case 'refused':
      return { kind: 'refused', reason: answer[1] as (Acquired & { kind: 'refused' })['reason'] }
    default:
      return strange(answer)
  }
}

export function readActivated(value: unknown): Activated {
  const answer = value as Answer
  switch (answer[0]) {
    case 'activated':
      return { kind: 'activated', ...grantOf(answer) }
    case 'fenced':
      return { kind: 'fenced', epoch: Number(answer[1]) }
    case 'used':
    case 'unknown':
      return { kind: answer[0] }
    default:
      return strange(answer)
  }
}

export function readTransferred(value: unknown): Transferred {
  const answer = value as Answer
  switch (answer[0]) {
    case 'transferred':
    case 'unbacked':
      return { kind: 'transferred', unbacked: answer[0] === 'unbacked', ...grantOf(answer) }
    case 'repeated':
      return { kind: 'repeated', ...grantOf(answer) }
    case 'fenced':
      return { kind: 'fenced', epoch: Number(answer[1]) }
    case 'refused':
      return { kind: 'refused', reason: 'no-pod' }
    default:
      return strange(answer)
  }
}

export function readPoolMoved(value: unknown): PoolMoved {
  const answer = value as Answer
  switch (answer[0]) {
    case 'moved':
    case 'full':
    case 'unknown':
      return { kind: answer[0] }
    case 'fenced':
      return { kind: 'fenced', epoch: Number(answer[1]) }
    default:
      return strange(answer)
  }
}

export function readPolled(value: unknown): Polled {
  const answer = value as Answer
  switch (answer[0]) {
    case 'granted':
      return { kind: 'granted', ...grantOf(answer) }
    case 'waiting':
      return {
        kind: 'waiting',
        ahead: Number(answer[1]),
        etaMs: Number(answer[2]),
        waitedMs: Number(answer[3]),
      }
    case 'gone':
      return { kind: 'gone' }
    default:
      return strange(answer)
  }
}

export function readReaped(value: unknown): Reaped {
  const [guard, noShows, suspected, dropped] = value as [Reaped['guard'], CallSid[], CallSid[], CallSid[]]
  return { noShows, suspected, dropped, guard }
}

/** Of each part: the day, then time and money of each tenant in the order of the question. */
export function readSpent(values: readonly unknown[], asked: readonly Spent[]): { day: number; spent: Spent[] } {
  const parts = values as [number, ...number[]][]
  const figures = parts.flatMap(([, ...rest]) => rest)
  const spent = asked.map(({ tenant }, i) => ({
    tenant,
    ms: Number(figures[2 * i]),
    millionths: Number(figures[2 * i + 1]),
  }))
  return { day: Math.max(...parts.map(([day]) => day)), spent }
}

const SEEN_STATES: Readonly<Record<string, LeaseSeen['state']>> = {
  R: 'awaited',
  O: 'awaited',
  A: 'active',
  S: 'suspect',
}

export function readSeen(value: unknown): LeaseSeen[] {
  return (value as [CallSid, number, string, string, number][]).map(([callSid, epoch, pod, state, silentMs]) => ({
    callSid,
    epoch,
    pod,
    state: SEEN_STATES[state] ?? strange(['look', state]),
    silentMs,
  }))
}

type PodAnswer = [string, string, string, PodEntry['state'], string, string, number, number, string]

export function readPods(value: unknown): PodEntry[] {
  return (value as PodAnswer[]).map(
    ([pod, incarnation, address, state, callsMax, penalty, calls, ageMs, newCallsMax]) => ({
      pod,
      incarnation,
      address,
      state,
      callsMax: Number(callsMax),
      newCallsMax: Number(newCallsMax),
      penalty: Number(penalty),
      calls,
      ageMs,
    }),
  )
}

type UsageAnswer = [number, number, number, number, number, number, [string, number, number][], number]

export function readUsage(value: unknown): CellUsage {
  const [inUse, reserved, suspect, limit, queued, refusedLastMinute, pools, isRecovering] = value as UsageAnswer
  return {
    inUse,
    reserved,
    suspect,
    limit,
    queued,
    refusedLastMinute,
    pools: pools.map(([pool, used, max]) => ({ pool, inUse: used, limit: max })),
    isRecovering: isRecovering === 1,
  }
}
