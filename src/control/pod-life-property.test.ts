// The life of a pod: any sequence of events, by property.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { CallSid } from '../kit/ids.ts'
import { FLUSH_MAX_MS, type PodEvent, type PodLifeSettings, podStateOf, takesWebhooks } from './pod-life.ts'
import { Life, many, sid } from './testing/life.ts'

const ready = (settings: Partial<PodLifeSettings> = {}): Life => new Life(settings, { kind: 'started' })
const moved = (callSid: CallSid, hasMoved = true): PodEvent => ({ kind: 'handover-ended', callSid, hasMoved })

suite('the life of a pod, by property', () => {
  const event = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ kind: fc.constant('run' as const), ms: fc.integer({ min: 100, max: 8_000 }) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('call' as const) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('hang-up' as const), at: fc.nat(50) }) },
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('report' as const), at: fc.nat(50), hasMoved: fc.boolean() }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('lag' as const), p99Ms: fc.nat(300), n: fc.nat(8) }) },
    {
      weight: 4,
      arbitrary: fc
        .constantFrom<PodEvent['kind']>('started', 'cordon', 'uncordon', 'store-lost', 'store-found', 'flushed')
        .map((kind) => ({ kind: 'event' as const, event: { kind } as PodEvent })),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom<PodEvent>({ kind: 'drain', cause: 'request' }, { kind: 'signal' }, { kind: 'fenced' })
        .map((one) => ({ kind: 'event' as const, event: one })),
    },
  )
  type Act = typeof event extends fc.Arbitrary<infer T> ? T : never

  /** Lives the acts; calls enter while they may. Gives back the life and what was seen of it. */
  function live(acts: readonly Act[]): { life: Life; seen: string[] } {
    const life = new Life({ graceMs: 60_000, naturalMs: 2_000, arrivalsMs: 1_000, inFlightMax: 4 })
    const running = new Map<CallSid, number>()
    const seen: string[] = []
    let count = 0
    let noted = 0
    const note = (): void => {
      for (const effect of life.all.slice(noted)) {
        if (effect.kind === 'handover-next') {
          running.set(effect.callSid, (running.get(effect.callSid) ?? 0) + 1)
          if (running.get(effect.callSid)! > 1) seen.push(`${effect.callSid} handed over twice at once`)
          if (!life.calls.includes(effect.callSid)) seen.push(`${effect.callSid} handed over though it is gone`)
          if (running.size > 4) seen.push('more in flight than allowed')
        }
      }
      noted = life.all.length
    }
    let isDrained = false
    const check = (): void => {
      note()
      if (isDrained && (life.phase === 'ready' || takesWebhooks(life.state))) seen.push('ready after a drain')
      for (const kept of life.state.handovers.keys()) {
        if (!life.calls.includes(kept) && life.phase === 'migrating') running.delete(kept)
      }
    }
    for (const act of acts) {
      if (act.kind === 'run') {
        for (let ms = 0; ms < act.ms; ms += 100) {
          life.run(100)
          check()
        }
      } else if (act.kind === 'call' && takesWebhooks(life.state)) {
        life.calls.push(sid(count))
        count += 1
      } else if (act.kind === 'hang-up') {
        const [gone] = life.calls.splice(act.at % Math.max(1, life.calls.length), 1)
        if (gone !== undefined) running.delete(gone)
        life.take({ kind: 'tick', calls: life.calls })
      } else if (act.kind === 'report' && running.size > 0) {
        const callSid = [...running.keys()][act.at % running.size]!
        running.delete(callSid)
        life.take(moved(callSid, act.hasMoved))
      } else if (act.kind === 'lag') life.lag(act.p99Ms, act.n)
      else if (act.kind === 'event') {
        // Only what was asked to flush reports it.
        if (act.event.kind === 'flushed' && life.of('flush').length === 0) continue
        life.take(act.event)
        if (['drain', 'signal', 'fenced'].includes(act.event.kind)) isDrained = true
      }
      check()
    }
    return { life, seen }
  }
  const beginning = fc.integer({ min: -1, max: 15 }).map((calls): Act[] => {
    if (calls < 0) return []
    return [{ kind: 'event', event: { kind: 'started' } }, ...new Array<Act>(calls).fill({ kind: 'call' })]
  })
  const acts = fc
    .tuple(beginning, fc.array(event, { maxLength: 80, size: 'max' }))
    .map(([first, rest]) => [...first, ...rest])

  test('[LV1] [LV5] never ready after a drain; no call is handed over twice at once, or when it is gone', () => {
    let handovers = 0
    const property = fc.property(acts, (all) => {
      const { life, seen } = live(all)
      handovers += life.of('handover-next').length
      assert.deepEqual(seen, [])
    })
    fc.assert(property, { numRuns: 300, seed: 21 })
    assert.ok(handovers > 100, `only ${handovers} handovers: the property says little`)
  })

  test('[POD-7][LV5] never more than five handovers in a second', () => {
    const property = fc.property(fc.integer({ min: 1, max: 60 }), (calls) => {
      const life = ready({ inFlightMax: 100 })
      life.calls = many(calls)
      life.take({ kind: 'signal' })
      life.run(40_000)
      const times = life.of('handover-next').map(({ atMs }) => atMs)
      assert.equal(times.length, calls)
      for (const fromMs of times) assert.ok(times.filter((atMs) => atMs >= fromMs && atMs < fromMs + 1_000).length <= 5)
    })
    fc.assert(property, { numRuns: 20 })
  })

  test('[LV7] [LV8] exit comes once, after a flush that ended or was overdue, or fenced; nothing follows it', () => {
    const exits = new Map<string, number>()
    const property = fc.property(acts, (all) => {
      const { life } = live(all)
      const exit = life.of('exit')
      assert.ok(exit.length <= 1)
      if (exit.length === 0) return
      const { cause, atMs } = exit[0]!
      exits.set(cause, (exits.get(cause) ?? 0) + 1)
      assert.equal(life.all.at(-1)!.kind, 'exit')
      const flush = life.of('flush')[0]
      if (cause === 'flushed') assert.ok(flush !== undefined)
      if (cause === 'flush-overdue') assert.ok(atMs - flush!.atMs >= FLUSH_MAX_MS)
      if (cause === 'fenced') assert.equal(life.of('force').at(-1)?.cause, 'fenced')
    })
    fc.assert(property, { numRuns: 300, seed: 22 })
    assert.deepEqual([...exits.keys()].toSorted(), ['fenced', 'flush-overdue', 'flushed'])
  })

  test('[LV6] [LV7] by any life a drained pod is down before its grace has passed, calls or not', () => {
    const property = fc.property(acts, (all) => {
      const { life } = live(all)
      life.take({ kind: 'drain', cause: 'request' })
      life.run(60_000 - 100)
      assert.equal(life.phase, 'down')
    })
    fc.assert(property, { numRuns: 150, seed: 23 })
  })

  test('[LV9] what the store should know is announced at each change, and only then', () => {
    const property = fc.property(acts, (all) => {
      const life = new Life()
      for (const act of all) {
        if (act.kind !== 'event') continue
        const before = podStateOf(life.state)
        const effects = life.take(act.event)
        assert.equal(effects[0]?.kind === 'announce', podStateOf(life.state) !== before)
      }
    })
    fc.assert(property, { numRuns: 200 })
  })
})
