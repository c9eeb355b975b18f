// The carrier's queues for <Enqueue>, by friendly name.
// J1: a queue holds QUEUE_CALLS_MAX calls unless maxQueueSize says less; a full queue refuses.

import { newSid } from './sid.ts'

const QUEUE_CALLS_MAX = 1000

type Waiter = { callSid: string; sinceMs: number; release: () => void }
type Queue = { sid: string; waiters: Waiter[]; totalWaitMs: number; left: number }

export class WaitingRoom {
  private readonly queues = new Map<string, Queue>()

  /** Enters a queue; undefined when it is full. `release` is called when the call is taken out by `dequeue`. */
  enter(name: string, callSid: string, sizeMax: number, release: () => void): string | undefined {
    const queue = this.queues.get(name) ?? { sid: newSid('QU'), waiters: [], totalWaitMs: 0, left: 0 }
    this.queues.set(name, queue)
    if (queue.waiters.length >= Math.min(sizeMax, QUEUE_CALLS_MAX)) return undefined
    queue.waiters.push({ callSid, sinceMs: performance.now(), release })
    return queue.sid
  }

  leave(name: string, callSid: string): void {
    const queue = this.queues.get(name)
    const at = queue?.waiters.findIndex((waiter) => waiter.callSid === callSid) ?? -1
    if (queue === undefined || at < 0) return
    const [waiter] = queue.waiters.splice(at, 1)
    queue.totalWaitMs += performance.now() - waiter!.sinceMs
    queue.left++
    if (queue.waiters.length === 0 && this.queues.size > QUEUE_CALLS_MAX) this.queues.delete(name)
  }

  /** Bridges the head of a queue to someone; its Call SID, or undefined when nobody waits. */
  dequeue(name: string): string | undefined {
    const head = this.queues.get(name)?.waiters[0]
    head?.release()
    return head?.callSid
  }

  /** The parameters a waitUrl request carries. */
  params(name: string, callSid: string, sizeMax: number): Record<string, string> {
    const queue = this.queues.get(name)
    const at = queue?.waiters.findIndex((waiter) => waiter.callSid === callSid) ?? -1
    const waitedMs = at < 0 ? 0 : performance.now() - queue!.waiters[at]!.sinceMs
    const averageMs = queue === undefined || queue.left === 0 ? 0 : queue.totalWaitMs / queue.left
    return {
      QueueSid: queue?.sid ?? '',
      QueuePosition: String(at + 1),
      QueueTime: String(Math.floor(waitedMs / 1000)),
      AvgQueueTime: String(Math.floor(averageMs / 1000)),
      CurrentQueueSize: String(queue?.waiters.length ?? 0),
      MaxQueueSize: String(Math.min(sizeMax, QUEUE_CALLS_MAX)),
    }
  }
}
