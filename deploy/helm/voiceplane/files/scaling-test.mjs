// `helm test`: can the autoscaler of this release see what it scales on? Asks the Kubernetes API, says in words what is missing.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'

const TRIES_MAX = 12
const TRY_EVERY_MS = 10_000
const ANSWER_MAX_MS = 10_000
const { KIND, METRIC, NAMESPACE, SCALED, SELECTOR, ACCOUNT_FOLDER, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT } =
  process.env
const tries = Number(process.env.TRIES ?? TRIES_MAX)

/** The status and the JSON of an answer of the API; status 0 when there is none. */
function ask(path) {
  return new Promise((resolve) => {
    const asked = request(
      {
        host: KUBERNETES_SERVICE_HOST,
        port: KUBERNETES_SERVICE_PORT,
        path,
        ca: readFileSync(join(ACCOUNT_FOLDER, 'ca.crt')),
        headers: { authorization: `Bearer ${readFileSync(join(ACCOUNT_FOLDER, 'token'), 'utf8').trim()}` },
        signal: AbortSignal.timeout(ANSWER_MAX_MS),
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk
        })
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode, body: JSON.parse(text) })
          } catch {
            resolve({ status: response.statusCode, body: {} })
          }
        })
      },
    )
    asked.on('error', (error) => resolve({ status: 0, body: {}, reason: error.message }))
    asked.end()
  })
}

/** undefined: it works. */
async function problemOfHpa() {
  const base = '/apis/custom.metrics.k8s.io/v1beta1'
  const api = await ask(base)
  if (api.status === 0) return `The Kubernetes API does not answer: ${api.reason}.`
  if (api.status === 404 || api.status === 503)
    return 'The cluster has no custom metrics (custom.metrics.k8s.io). Install prometheus-adapter with deploy/prometheus-adapter/values.yaml.'
  const selector = encodeURIComponent(SELECTOR)
  const { status, body } = await ask(`${base}/namespaces/${NAMESPACE}/pods/*/${METRIC}?labelSelector=${selector}`)
  if (status === 403) return 'This test may not read custom metrics: the adapter asks for another role.'
  if (status !== 200 || !(body.items?.length > 0))
    return `The adapter knows no ${METRIC} of the edge pods. Does Prometheus read their /metrics, and has the adapter the rules of deploy/prometheus-adapter/values.yaml?`
  return undefined
}

/** undefined: it works. */
async function problemOfKeda() {
  const { status, body, reason } = await ask(`/apis/keda.sh/v1alpha1/namespaces/${NAMESPACE}/scaledobjects/${SCALED}`)
  if (status === 0) return `The Kubernetes API does not answer: ${reason}.`
  if (status !== 200) return `There is no ScaledObject ${SCALED} (status ${status}). Is KEDA installed?`
  const conditions = body.status?.conditions ?? []
  const ready = conditions.find(({ type }) => type === 'Ready')
  const fallback = conditions.find(({ type }) => type === 'Fallback')
  if (ready?.status !== 'True') return `KEDA cannot scale: ${ready?.message ?? 'its operator has not looked at it'}.`
  if (fallback?.status === 'True') return 'KEDA gets no answer from Prometheus: is autoscaling.keda.prometheusUrl right?'
  return undefined
}

let problem
for (let tried = 1; tried <= tries; tried += 1) {
  problem = await (KIND === 'keda' ? problemOfKeda() : problemOfHpa())
  if (problem === undefined) break
  if (tried < tries) await new Promise((resolve) => setTimeout(resolve, TRY_EVERY_MS))
}
if (problem === undefined) console.log('The autoscaler sees its metric.')
else {
  console.error(`The number of pods will not change by itself. ${problem}`)
  process.exitCode = 1
}
