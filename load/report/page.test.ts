import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPage } from './page.ts'
import { makeReport } from './report.ts'

const RUN = {
  urls: ['http://127.0.0.1:1'],
  calls: 1,
  ratePerSecond: 20,
  arrivals: 'constant',
  holdS: 5,
  scenarios: 'talk',
  seed: 1,
}
const RECORD = {
  offered: 1,
  placed: 1,
  calls: [],
  errors: [],
  reactionsMs: undefined,
  model: undefined,
  timeline: [],
  processes: 1,
  wasInterrupted: false,
}

test('[PG1] the page loads nothing from anywhere and carries its own plots', () => {
  const page = formatPage(makeReport(RUN, { cpu: 'c', cores: 2, node: 'v24' }, '2026-01-01', RECORD))
  assert.doesNotMatch(page, /<(script|link|img)[^>]+(src|href)=/)
  assert.doesNotMatch(page, /@import|url\(/)
  assert.match(page, /uPlot/)
})

test('[PG2] text of the run cannot become markup, data cannot end its script element', () => {
  const record = { ...RECORD, timeline: [], errors: [] }
  const hostile = { ...RUN, scenarios: '</title><script>alert(1)</script>' }
  const report = makeReport(hostile, { cpu: '<b>cpu</b>', cores: 2, node: 'v24' }, '</script>', record)
  const page = formatPage(report)
  assert.ok(!page.includes('<script>alert(1)'))
  assert.ok(!page.includes('<b>cpu</b>'))
  const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!
  assert.deepEqual(JSON.parse(data), { plots: report.plots })
})
