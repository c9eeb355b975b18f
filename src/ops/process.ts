// The figures of the process itself: memory, CPU, the event loop, handles. A pod and a worker have the same.
import { collectDefaultMetrics, type Registry } from 'prom-client'

const SAMPLE_MS = 20
/** Gauges of prom-client whose names end like a counter's. The same figures stand by type, under names without `_total`. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

/** Puts the figures of this process on the registry's page. Once for each registry. */
export function registerProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: SAMPLE_MS })
  for (const name of MISNAMED) registry.removeSingleMetric(name)
}
