// The jobs that tell the operator's systems: `crm` (the record of a call), `recording` (where the carrier keeps one) and
// `voicemail` (who left a message, and where it lies). Rules:
// JD1: without a receiver there is nothing to do, and the item says so.
// JD2: what is sent names its call, its version and when it was sent; no audio is fetched or sent, only where it lies.
import type { Job } from '../job.ts'
import type { WorkStore } from '../ports.ts'
import type { Webhook } from '../webhook/delivery.ts'

const NO_RECEIVER = { kind: 'skipped', reason: 'no receiver is configured' } as const

/** Makes the job `crm`; `webhook` undefined: no receiver is configured. */
export function makeCrmJob(parts: { store: Pick<WorkStore, 'record'>; webhook: Webhook | undefined }): Job {
  return {
    type: 'crm',
    async run(item, { signal }) {
      if (parts.webhook === undefined) return NO_RECEIVER
      const record = await parts.store.record(item.callSid)
      if (record === undefined) return { kind: 'skipped', reason: 'the call is gone' }
      return parts.webhook.deliver(item, 'call.ended', record, signal)
    },
  }
}

/** Makes the job `voicemail`. */
export function makeVoicemailJob(parts: { store: Pick<WorkStore, 'record'>; webhook: Webhook | undefined }): Job {
  return {
    type: 'voicemail',
    async run(item, { signal }) {
      if (parts.webhook === undefined) return NO_RECEIVER
      const record = await parts.store.record(item.callSid)
      if (record === undefined) return { kind: 'skipped', reason: 'the call is gone' }
      const { callSid, callId, tenant, body } = item
      const { from, to } = record
      return parts.webhook.deliver(item, 'voicemail.left', { callSid, callId, tenant, from, to, ...body }, signal)
    },
  }
}

/** Makes the job `recording`. */
export function makeRecordingJob(parts: { webhook: Webhook | undefined }): Job {
  return {
    type: 'recording',
    async run(item, { signal }) {
      if (parts.webhook === undefined) return NO_RECEIVER
      const { callSid, callId, tenant, body } = item
      return parts.webhook.deliver(item, 'call.recorded', { callSid, callId, tenant, ...body }, signal)
    },
  }
}
