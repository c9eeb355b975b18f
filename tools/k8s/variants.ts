// The renderings of the chart that are checked: the three sizes, and one with everything that is off by default.
import type { RenderOptions } from './chart.ts'

/** One rendering with its title, and the variables that it names for an agent. */
export type Variant = { title: string; options: RenderOptions; forAgent?: readonly string[]; bringsStores?: boolean }

const EVERYTHING = [
  'ingress.tls.secretName=voice-tls',
  'migrate.databaseUrl.name=voiceplane',
  'migrate.databaseUrl.key=DIRECT_URL',
  'limits.pools[0].pool=own',
  'limits.pools[0].callsMax=300',
  'limits.pools[1].pool=eu',
  'limits.pools[1].callsMax=180',
  'limits.pools[1].endpoint.kind=openai',
  'limits.pools[1].endpoint.keyVariable=OPENAI_API_KEY_EU',
  'secrets.extra.OPENAI_API_KEY_EU.name=eu-keys',
  'secrets.extra.OPENAI_API_KEY_EU.key=realtime',
  'secrets.extra.BOOKING_PASSWORD.as=env',
  'agentSettings.BOOKING_URL=https://booking.example.com',
  'limits.queueMax=5',
  'monitoring.serviceMonitor=true',
  'monitoring.labels.release=prometheus',
  'image.pullSecrets={registry}',
  'edge.priorityClassName=calls',
  'edge.nodeSelector.pool=voice',
  'secrets.from.AZURE_OPENAI_API_KEY.name=azure',
  'secrets.from.AZURE_OPENAI_API_KEY.key=key',
  'autoscaling.measure=active',
  'worker.replicas=5',
]

const EVERYTHING_TEXTS = [
  'settings.VAD_SILENCE_MS=400',
  'settings.AZURE_OPENAI_ENDPOINT=https://voice.openai.azure.com',
  'settings.AZURE_OPENAI_DEPLOYMENT=realtime',
]

/** What `values.yaml` gives alone, the three sizes, and the far corners. */
export const VARIANTS: readonly Variant[] = [
  { title: 'defaults', options: {} },
  ...['small', 'medium', 'large'].map((size) => ({ title: size, options: { files: [`values-${size}.yaml`] } })),
  {
    title: 'everything',
    options: { sets: EVERYTHING, strings: EVERYTHING_TEXTS },
    forAgent: ['BOOKING_URL', 'BOOKING_PASSWORD'],
  },
  {
    title: 'keda and operator',
    options: {
      files: ['values-large.yaml'],
      sets: [
        'autoscaling.kind=keda',
        'autoscaling.keda.prometheusUrl=http://prometheus-operated.monitoring:9090',
        'monitoring.serviceMonitor=true',
      ],
    },
  },
  {
    title: 'own ingress',
    options: {
      sets: [
        'ingress.enabled=false',
        'networkPolicy.ownIngress.namespace=ingress-nginx',
        'networkPolicy.ownIngress.podLabels.app=ingress-nginx',
      ],
    },
  },
  { title: 'try', options: { files: ['values-try.yaml'] }, bringsStores: true },
  {
    title: 'least',
    options: {
      sets: [
        'autoscaling.enabled=false',
        'ingress.enabled=false',
        'migrate.enabled=false',
        'networkPolicy.enabled=false',
        'worker.enabled=false',
      ],
    },
  },
]
