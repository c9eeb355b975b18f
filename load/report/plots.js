// Runs in the report page: draws the three plots from the JSON in #data. Everything it needs is inside the page.
;(() => {
  const report = JSON.parse(document.getElementById('data').textContent)
  const style = () => getComputedStyle(document.documentElement)
  const color = (name) => style().getPropertyValue(name).trim()
  const font = '12px system-ui, sans-serif'

  function axis(label, extra) {
    return {
      label,
      labelFont: font,
      font,
      labelSize: 22,
      stroke: () => color('--muted'),
      grid: { stroke: () => color('--grid'), width: 1 },
      ticks: { stroke: () => color('--grid'), width: 1 },
      ...extra,
    }
  }

  function line(label, colorName, extra) {
    return { label, stroke: () => color(colorName), width: 2, points: { show: false }, ...extra }
  }

  const plots = []
  function plot(id, options, data) {
    const box = document.getElementById(id)
    if (data[0].length < 2 || data.slice(1).every((ys) => ys.every((y) => y === 0))) {
      box.textContent = 'Not enough samples for a plot.'
      box.className = 'empty'
      return
    }
    const size = () => ({ width: box.clientWidth, height: 260 })
    const chart = new uPlot({ ...size(), cursor: { drag: { x: true, y: false } }, ...options }, data, box)
    plots.push({ chart, size })
  }

  const { voiceToVoice, timeline, added } = report.plots
  plot(
    'voice-to-voice',
    {
      scales: { x: { time: false }, y: { range: [0, 100] } },
      axes: [axis('ms from the end of the caller’s speech to the first agent frame'), axis('% of turns')],
      series: [{ label: 'ms' }, line('% of turns', '--series-1', { fill: () => color('--fill-1') })],
    },
    [voiceToVoice.x, voiceToVoice.share.map((share) => share * 100)],
  )
  plot(
    'timeline',
    {
      scales: {
        x: { time: false },
        ms: { range: (_, __, max) => [0, Math.max(10, max * 1.1)] },
        y: { range: (_, __, max) => [0, max * 1.1 + 1] },
      },
      axes: [axis('seconds'), axis('calls live'), axis('ms late', { scale: 'ms', side: 1, grid: { show: false } })],
      series: [
        { label: 's' },
        line('live', '--series-1', { fill: () => color('--fill-1') }),
        line('generator late, ms', '--series-2', { scale: 'ms' }),
      ],
    },
    [timeline.map((at) => at.atS), timeline.map((at) => at.live), timeline.map((at) => at.latenessMs)],
  )
  const bars = uPlot.paths.bars({ size: [0.9, 40], align: 1 })
  plot(
    'added',
    {
      scales: { x: { time: false }, y: { range: (_, __, max) => [0, max * 1.1 + 1] } },
      axes: [axis('ms added (the last bar holds all above)'), axis('probes')],
      series: [
        { label: 'ms' },
        line('model → carrier', '--series-1', { paths: bars, fill: () => color('--fill-1'), width: 1 }),
        line('carrier → model', '--series-2', { paths: bars, fill: () => color('--fill-2'), width: 1 }),
      ],
    },
    [added.edges, added.modelToCarrier, added.carrierToModel],
  )

  addEventListener('resize', () => {
    for (const { chart, size } of plots) chart.setSize(size())
  })
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const { chart } of plots) chart.redraw(false, true)
  })
})()
