// The plane's own metrics page, read for what no witness can see: open handles, timers, live calls.

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

/** Reads the page at `url`/metrics; empty when there is none (a peer). */
export async function readMetrics(url: string): Promise<Map<string, number>> {
  const answer = await fetch(`${url}/metrics`)
  const text = await answer.text()
  return answer.ok ? parseMetrics(text) : new Map()
}
