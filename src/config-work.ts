// The settings of the work after calls, from the variables' values. Rules:
// CWK2: a key goes to the host that it belongs to: OPENAI_API_KEY is the analysis' key only where the analysis is asked at the model's own host. For
//      another host ANALYSIS_API_KEY says so by name. Without a key and an address the rules judge, and nothing leaves.
import type { Values } from './variables.ts'

const OPENAI_API = 'https://api.openai.com/v1'

/** The part `work` of the configuration. */
export function workOf(values: Values) {
  const { url, key } = analysisPlaceOf(values)
  const kind = values.ANALYSIS ?? (key === undefined && values.ANALYSIS_URL === undefined ? 'rules' : 'model')
  return {
    pollMs: values.WORK_POLL_MS,
    drainMs: values.WORK_DRAIN_MS,
    /** A live call that no pod has saved for so long is looked at by a sweep. */
    silentMs: values.WORK_SILENT_MS,
    analysisMax: values.WORK_ANALYSIS_MAX,
    analysis: {
      kind,
      /** Base of the API, without a slash at its end. */
      url,
      model: values.ANALYSIS_MODEL,
      key,
    },
    /** undefined: nobody knows what a call costs. */
    prices: values.PRICES,
    crm: {
      url: values.CRM_WEBHOOK_URL?.href,
      /** The first signs too when the second does: receivers change over in their own time. */
      secrets: [values.CRM_WEBHOOK_SECRET, values.CRM_WEBHOOK_SECRET_SECONDARY].filter((one) => one !== undefined),
      hasKeys: values.CRM_WEBHOOK_KEYS === 'on',
      mayBePrivate: values.CRM_ALLOW_PRIVATE === 'on',
      timeoutMs: values.CRM_TIMEOUT_MS,
    },
    /** Unset: everything is kept. */
    retention: values.RETENTION_DAYS ?? { days: undefined, tenants: {} },
  }
}

/** [CWK2] Where the analysis is asked, and with which key. */
function analysisPlaceOf(values: Values): { url: string; key: string | undefined } {
  const url = (values.ANALYSIS_URL?.href ?? OPENAI_API).replace(/\/+$/, '')
  const ownHost = values.OPENAI_REALTIME_URL?.host ?? new URL(OPENAI_API).host
  const own = new URL(url).host === ownHost ? values.OPENAI_API_KEY : undefined
  return { url, key: values.ANALYSIS_API_KEY ?? own }
}
