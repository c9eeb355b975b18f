// What a skewed holder is told, and the times of its leases: short, so that a lease that is not renewed is seen to be lost.
import { LEASE_TIMES } from '../../src/control/ports.ts'
import type { CallSid } from '../../src/kit/ids.ts'

export type HolderOrder = { url: string; cell: string; pod: string; callSid: CallSid }
export const SKEWED_TIMES = { ...LEASE_TIMES, ttlMs: 1_000, hardMs: 2_000, recoveringMs: 0 }
