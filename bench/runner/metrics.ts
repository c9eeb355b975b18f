// The plane's own metrics page, read for what no witness can see: open handles, timers, live calls.
import { get } from 'node:http'

/** Samples of a Prometheus text page by name with labels, as `name{a="b"}`. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*(?:\{.*\})?)\s+(\S+)/.exec(line)
    if (match !== null) samples.set(match[1]!, Number(match[2]))
  }
  return samples
}

/** Sum over all label sets of a metric; undefined when it is not on the page. */
export function sumOf(samples: ReadonlyMap<string, number>, name: string): number | undefined {
  let sum: number | undefined
  for (const [key, value] of samples) {
    if (key === name || key.startsWith(`${name}{`)) sum = (sum ?? 0) + value
  }
  return sum
}

/** The operators' token of planes that a bench has started. */
export const BENCH_OPERATOR = 'the-operator-of-the-benches-0'

/** Reads the page at `url`/metrics; empty when there is none (a peer). Leaves no socket open in the process that is asked. */
export function readMetrics(url: string): Promise<Map<string, number>> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${BENCH_OPERATOR}` }
    const request = get(`${url}/metrics`, { agent: false, headers }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      answer.on('end', () => resolve(answer.statusCode === 200 ? parseMetrics(text) : new Map()))
    })
    request.on('error', reject)
  })
}
