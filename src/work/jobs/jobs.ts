// All jobs of a worker, from its settings.
import type { Tariff } from '../../call/tariff.ts'
import type { Clock } from '../../kit/clock.ts'
import { HttpPool } from '../analysis/http-pool.ts'
import { makeModelAnalyser } from '../analysis/model.ts'
import type { Job } from '../job.ts'
import type { WorkStore } from '../ports.ts'
import { Webhook, type WebhookSettings } from '../webhook/delivery.ts'
import { makeAnalysisJob } from './analysis.ts'
import { type CallBackParts, makeCallBackJob } from './call-back.ts'
import { makeCrmJob, makeRecordingJob, makeVoicemailJob } from './deliveries.ts'
import type { FindMaterial } from './material.ts'
import { makeRecordJob } from './record.ts'

type JobSettings = {
  analysisMax: number
  analysis: { kind: 'model' | 'rules'; url: string; model: string; key: string | undefined }
  prices: Tariff | undefined
  crm: Omit<WebhookSettings, 'url'> & { url: string | undefined }
}

/** The jobs, and what closes their connections. */
export function makeJobs(of: {
  find: FindMaterial
  store: WorkStore
  settings: JobSettings
  clock: Clock
  /** undefined: this worker cannot call; its items wait for one that can. */
  callBack?: Omit<CallBackParts, 'store'> | undefined
}): {
  jobs: Job[]
  close: () => void
} {
  const { find, store, settings, clock, callBack } = of
  const { analysis, analysisMax, prices, crm } = settings
  // Twice: those that have become slow keep theirs.
  const pool = new HttpPool({ connectionsMax: 2 * analysisMax })
  const model =
    analysis.kind === 'rules' ? undefined : makeModelAnalyser({ ...analysis, pool, wallMs: () => clock.wallMs() })
  const { url } = crm
  const webhook = url === undefined ? undefined : new Webhook({ settings: { ...crm, url }, store, clock })
  return {
    jobs: [
      makeRecordJob({ find, prices }),
      makeAnalysisJob({ find, model }),
      makeCrmJob({ store, webhook }),
      makeRecordingJob({ webhook }),
      makeVoicemailJob({ store, webhook }),
      ...(callBack === undefined ? [] : [makeCallBackJob({ ...callBack, store })]),
    ],
    close: () => {
      pool.close()
      webhook?.close()
    },
  }
}
