import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { costOfCall, tokensOfCall } from './cost.ts'
import { defaultInput, type PlanInput } from './flags.ts'
import { makePlan, runPlan } from './plan.ts'
import { podsFor, regionPods } from './pods.ts'
import { workerSlots } from './stores.ts'
import { formatFigure } from './table.ts'
import { bitsPerSecond, directionsOf } from './wire.ts'

const inputOf = (changes: Partial<PlanInput> = {}): PlanInput => ({ ...defaultInput(), ...changes })

/** Words that the table has broken into lines. */
const oneLine = (text: string): string => text.replace(/\s+/g, ' ')

/** The figure of that name, under that title. */
function figure(input: PlanInput, title: string, name: string): number | undefined {
  const found = makePlan(input)
    .find((section) => section.title.startsWith(title))
    ?.rows.find((row) => row.name === name)
  assert.ok(found !== undefined, `${title}: ${name}`)
  return found.value
}

function near(actual: number | undefined, wanted: number, share = 1e-9): void {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= share * wanted, `${actual} is not ${wanted}`)
}

suite('pods', () => {
  test('[PLN1] a thousand calls at 25 a pod are 40 pods, 48 with 20 % headroom', () => {
    assert.equal(figure(inputOf(), 'Pods', 'at the target'), 40)
    assert.equal(figure(inputOf(), 'Pods', 'at the target, with headroom'), 48)
    assert.equal(figure(inputOf(), 'Pods', 'at the ceiling'), 25)
    assert.equal(figure(inputOf(), 'Pods', 'at the ceiling, with headroom'), 30)
    near(figure(inputOf(), 'Pods', 'arrivals'), 1_000 / 180)
  })

  test('[PLN1] larger fleets are those of the design, in cells of 200 pods', () => {
    assert.equal(podsFor(8_000, 25, 20), 384)
    assert.equal(podsFor(100_000, 25, 20), 4_800)
    assert.equal(figure(inputOf({ calls: 8_000 }), 'Pods', 'cells'), 2)
    assert.equal(figure(inputOf({ calls: 100_000 }), 'Pods', 'cells'), 24)
  })

  test('[PLN1] pods hold what is asked, none is spare, and they never fall as calls or headroom rise', () => {
    const calls = fc.integer({ min: 1, max: 1_000_000 })
    const percent = fc.integer({ min: 0, max: 400 })
    fc.assert(
      fc.property(calls, fc.integer({ min: 1, max: 1_000 }), percent, (n, each, headroom) => {
        const pods = podsFor(n, each, headroom)
        const needed = BigInt(n) * BigInt(100 + headroom)
        assert.ok(BigInt(pods) * BigInt(100 * each) >= needed)
        assert.ok(pods === 1 || BigInt(pods - 1) * BigInt(100 * each) < needed)
        assert.ok(pods >= Math.ceil(n / each))
        assert.ok(podsFor(n + 1, each, headroom) >= pods)
        assert.ok(podsFor(n, each, headroom + 1) >= pods)
      }),
    )
  })

  test('[PLN2] the fleet is one group of servers, and a pod alone is worse', () => {
    const fleet = figure(inputOf(), 'Full lines', 'fleet to the target: blocked')!
    assert.ok(fleet > 0 && fleet < 1e-9)
    const alone = figure(inputOf({ headroom: 0, target: 24.4 }), 'Full lines', 'a pod that shared with none: blocked')
    near(alone, 0.001, 0.05)
  })

  test('[PLN3] two regions need 25 pods each: 24 at the target with headroom could not lose a region', () => {
    const { atTarget, podLost, regionLost, each, all } = regionPods(inputOf({ regions: 2 }))
    assert.deepEqual(
      { atTarget, podLost, regionLost, each, all },
      { atTarget: 24, podLost: 14, regionLost: 25, each: 25, all: 50 },
    )
    assert.equal(regionPods(inputOf()).regionLost, undefined)
    assert.equal(figure(inputOf(), 'Regions', 'each, to lose a region'), undefined)
  })

  test('[PLN3] whatever the sizes, a lost pod and a lost region leave places for all', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 50 }), (calls, regions) => {
        const input = inputOf({ calls, regions })
        const { each, all } = regionPods(input)
        assert.equal(all, each * regions)
        assert.ok((each - 1) * input.ceiling >= calls / regions - 1e-6)
        if (regions > 1) assert.ok(each * (regions - 1) * input.ceiling >= calls - 1e-6)
      }),
    )
  })

  test('[PLN4] the room to the ceiling carries 1.2 % a second for the 75 s of a reaction', () => {
    assert.equal(figure(inputOf(), 'Growth', 'HPA reaction'), 75)
    near(figure(inputOf(), 'Growth', 'growth carried'), 92 / 75)
    near(figure(inputOf(), 'Growth', 'metric that must be scaled on'), 25 / 1.2)
    assert.equal(figure(inputOf({ ceiling: 25, headroom: 0 }), 'Growth', 'growth carried'), 0)
  })
})

suite('what stands behind', () => {
  test('[PLS1] 5.6 calls a second with 3 jobs of 4 s need 96 slots', () => {
    assert.equal(figure(inputOf(), 'Workers', 'slots'), 96)
    assert.equal(workerSlots(0, 4, 70), 0)
    assert.equal(figure(inputOf({ jobs: 0 }), 'Workers', 'backlog of half an hour gone after'), 0)
  })

  test('[PLS1] slots are never busier than was asked', () => {
    const amount = fc.double({ min: 0.001, max: 1_000, noNaN: true })
    fc.assert(
      fc.property(amount, amount, fc.integer({ min: 1, max: 99 }), (perSecond, jobS, load) => {
        const slots = workerSlots(perSecond, jobS, load)
        assert.ok((perSecond * jobS) / slots <= (load / 100) * (1 + 1e-9))
      }),
    )
  })

  test('[PLS2] Redis is asked by calls and by rounds of pods', () => {
    near(figure(inputOf(), 'Redis', 'questions'), (3 * 1_000) / 180 + 48 * 1.9)
    near(figure(inputOf({ calls: 100_000 }), 'Redis', 'memory of leases'), 21)
    near(figure(inputOf({ calls: 100_000 }), 'Redis', 'leases renewed'), 20_000)
  })

  test('[PLS2] [PLN3] the pods of all regions count, those for a lost region too', () => {
    near(figure(inputOf({ regions: 2 }), 'Redis', 'questions'), (3 * 1_000) / 180 + 50 * 1.9)
    assert.equal(figure(inputOf({ regions: 2 }), 'PostgreSQL', 'clients at pgbouncer'), 510)
  })

  test('[PLS3] PostgreSQL writes a checkpoint each seven seconds, and no connection is opened for a call', () => {
    near(figure(inputOf({ calls: 8_000 }), 'PostgreSQL', 'checkpoint writes'), 8_000 / 7)
    assert.equal(figure(inputOf(), 'PostgreSQL', 'clients at pgbouncer'), (48 + 1) * 10)
    near(figure(inputOf(), 'PostgreSQL', 'storage'), 5.76)
    const few = figure(inputOf({ minutes: 1 }), 'PostgreSQL', 'clients at pgbouncer')!
    assert.ok(few < 48 * 10 + 40, 'three times the calls, and only workers are added')
  })

  test('[WY1] [WY3] bytes are those of whole messages, with all heads', () => {
    const bytes = (audio: 'pcmu' | 'pcm16'): number[] => directionsOf(audio).map((one) => one.messageBytes)
    // Sequence, chunk and time as long as in a call of some hours.
    assert.deepEqual(bytes('pcmu').slice(0, 3), [389, 305, 263])
    assert.equal(bytes('pcm16')[2], 1_327)
    assert.deepEqual(
      directionsOf('pcmu').map((one) => one.wireBytes - one.messageBytes),
      [60, 56, 82, 78],
    )
    near(bitsPerSecond(directionsOf('pcmu').slice(0, 1)), (389 + 60) * 50 * 8)
  })

  test('[WY2] 50 frames a second each way for as long as the call lasts, and PCM16 takes more', () => {
    assert.equal(directionsOf('pcmu').length, 4)
    assert.ok(bitsPerSecond(directionsOf('pcm16')) > bitsPerSecond(directionsOf('pcmu')))
    near(figure(inputOf(), 'Network', 'in all'), (bitsPerSecond(directionsOf('pcmu')) * 1_000) / 1e6)
  })
})

suite('cost', () => {
  test('[PLC1] two turns hear the first twice, the second time cached', () => {
    const tokens = tokensOfCall(
      inputOf({ minutes: 1, turns: 2, 'caller-share': 50, 'agent-share': 50, 'prompt-tokens': 100 }),
    )
    // A turn is 15 s of the caller (150 tokens) and 15 s of the agent (300).
    assert.deepEqual(tokens, { turns: 2, audioIn: 600, audioCached: 150, audioOut: 600, textIn: 100, textCached: 100 })
  })

  test('[PLC2] without a price there is no cost, and it is said', () => {
    assert.equal(costOfCall(inputOf()).perCall, undefined)
    assert.equal(figure(inputOf(), 'Model', 'cost a call'), undefined)
    const { text } = runPlan([])
    assert.match(oneLine(text), /no price was given, so no cost is said/)
  })

  test('[PLC2] what has a price is summed, and what has none is named', () => {
    const { perCall, unpriced } = costOfCall(
      inputOf({ prices: { 'price-carrier-minute': 0.01, 'price-audio-out': 64 } }),
    )
    near(perCall, 0.03 + (1_620 * 64) / 1e6)
    assert.ok(unpriced.includes('price-audio-in') && !unpriced.includes('price-audio-out'))
    assert.ok(!unpriced.includes('price-model-minute'), 'it is billed by tokens')
    const byMinute = costOfCall(inputOf({ prices: { 'price-model-minute': 0.1 } }))
    assert.deepEqual(byMinute.unpriced, ['price-carrier-minute'])
    assert.match(oneLine(runPlan(['--price-carrier-minute', '1']).text), /for want of a price: --price-audio-in/)
    assert.equal(costOfCall(inputOf({ prices: { 'price-model-minute': 0 } })).perCall, 0)
  })
})

suite('command line', () => {
  test('[PLF1] each wrong flag is one line that names it, and nothing is computed', () => {
    const wrong: readonly (readonly [flag: string, ...args: string[]])[] = [
      ['--calls', '--calls', '0'],
      ['--calls', '--calls', '1.5'],
      ['--calls', '--calls', 'many'],
      ['--calls', '--calls', '-5'],
      ['--calls', '--calls'],
      ['--calls', '--calls=1e9'],
      ['--calls', '--calls', '5', '--calls', '6'],
      ['--minutes', '--minutes', '0'],
      ['--audio', '--audio', 'mp3'],
      ['--regions', '--regions', '51'],
      ['--price-audio-in', '--price-audio-in', 'free'],
      ['--target', '--target', '50', '--ceiling', '40'],
      ['--agent-share', '--agent-share', '80', '--caller-share', '30'],
      ['--bogus', '--bogus', '1'],
      ['--json', '--json=yes'],
      ['--constructor', '--constructor', '1'],
      ['stray', 'stray'],
    ]
    for (const [flag, ...args] of wrong) {
      const { kind, text } = runPlan(args)
      assert.equal(kind, 'wrong', args.join(' '))
      assert.ok(text.startsWith('plan: ') && text.includes(flag), text)
      assert.equal(text.trimEnd().split('\n').length, 1, text)
    }
    assert.equal(runPlan(['--calls', '0', '--minutes', 'x']).text.trimEnd().split('\n').length, 2)
  })

  test('[PLF2] every amount has a default inside its bounds, and --help tells all flags', () => {
    const { kind, text } = runPlan(['--calls', '3', '--help'])
    assert.equal(kind, 'said')
    for (const name of Object.keys(defaultInput())) if (name !== 'prices') assert.ok(text.includes(`--${name} `), name)
    for (const [name, value] of Object.entries(defaultInput())) {
      if (typeof value === 'number') assert.equal(runPlan([`--${name}`, String(value)]).kind, 'said', name)
    }
    assert.deepEqual(defaultInput().prices, {})
  })

  test('[PLF3] the same arguments give the same words', () => {
    assert.equal(runPlan(['--calls=500', '--minutes', '2.5']).text, runPlan(['--minutes=2.5', '--calls', '500']).text)
  })

  test('[PLR1] the JSON has every figure of the table, each with what it rests on', () => {
    const json = JSON.parse(runPlan(['--json', '--regions', '3']).text) as {
      input: { calls: number }
      plan: { title: string; rows: { name: string; value: number | null; unit: string; basis: string }[] }[]
    }
    assert.equal(json.input.calls, 1_000)
    const table = runPlan(['--regions', '3']).text
    const rows = json.plan.flatMap((section) => section.rows)
    assert.ok(rows.length > 40)
    for (const { name, value, basis } of rows) {
      assert.ok(basis.length > 0, name)
      assert.ok(table.includes(`${name.padEnd(36)} ${formatFigure(value ?? undefined).padStart(12)} `), name)
      assert.ok(oneLine(table).includes(basis), basis)
    }
    assert.equal(rows.find((row) => row.name === 'cost a call')?.value, null)
  })

  test('[PLR1] figures are finite, or missing with a reason, at the ends of the bounds', () => {
    const ends = [
      ['--calls', '1', '--minutes', '0.1'],
      ['--calls', '1000000', '--minutes', '180', '--target', '1', '--ceiling', '1000'],
      ['--calls', '1000000', '--ceiling', '25', '--headroom', '0', '--regions', '50', '--jobs', '0'],
    ]
    for (const args of ends) {
      const json = JSON.parse(runPlan([...args, '--json']).text) as { plan: { rows: { value: number | null }[] }[] }
      const values = json.plan.flatMap(({ rows }) => rows.map(({ value }) => value))
      assert.ok(
        values.every((value) => value === null || (Number.isFinite(value) && value >= 0)),
        args.join(' '),
      )
    }
    assert.deepEqual([0, 1e-14, 5.5555, 480_000, undefined].map(formatFigure), ['0', '< 1e-12', '5.56', '480 000', '–'])
  })
})

test('[PLN1] a plan of one reads as one, and what cannot be said has no unit', () => {
  const said = runPlan(['--calls', '1', '--minutes', '1'])
  assert.match(said.text, /^Plan for 1 call at once of 1 minute each\n/)
  assert.match(said.text, / 1 cell /)
  assert.doesNotMatch(said.text, / 1 (cells|pods|slots|processes) {2}/)
  assert.match(oneLine(said.text), /cost a call – no price was given/)
  assert.doesNotMatch(oneLine(said.text), /(?<![\d.])1 (calls|pods|sessions|turns|workers)\b(?! calls\/)/)
  const priced = runPlan(['--calls', '1', '--minutes', '1', '--price-model-minute', '1', '--price-carrier-minute', '1'])
  assert.match(oneLine(priced.text), /cost a call 2 of your currency/)
})
