// What operators read of the work, from a replica of the database. Rules:
// SWR1: a list or a record is asked of the replica; one that does not answer, and a record that it does not have yet, of the database itself.
// SWR2: whatever writes, or decides, never asks a replica: it is behind.
import type { WorkStore } from '../../work/ports.ts'

export type OperatorReads = Pick<WorkStore, 'list' | 'record' | 'voicemails'>

/** Reads of `replica`, with `primary` behind it. */
export function replicaReads(replica: OperatorReads, primary: OperatorReads): OperatorReads {
  return {
    list: (page) => replica.list(page).catch(() => primary.list(page)),
    voicemails: (page) => replica.voicemails(page).catch(() => primary.voicemails(page)),
    record: async (callSid) => {
      const record = await replica.record(callSid).catch(() => undefined)
      return record ?? primary.record(callSid)
    },
  }
}
