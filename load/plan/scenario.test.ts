import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from './arrivals.ts'
import { buildScript, chooseScenario, type PlainScenarioName, SCENARIO_NAMES, SCENARIO_TEXT } from './scenario.ts'

const CLIPS = ['one', 'two', 'three'].map((name) => ({
  name,
  ulaw: Buffer.alloc(8_000, 0xff),
  ms: 1_000,
  speechEndMs: 900,
}))
const PLAIN = SCENARIO_NAMES.filter((name) => name !== 'mixed') as PlainScenarioName[]

test('every scenario has a script with an end, and a line in the help', () => {
  for (const name of PLAIN) {
    const script = buildScript(name, CLIPS, 60, seededRandom(1))
    assert.ok(script.steps.length > 0, name)
    assert.equal(script.maxMs, name === 'long' ? 300_000 : 60_000)
    assert.ok(SCENARIO_TEXT[name].length > 10)
  }
})

test('[SC1] the same seed gives the same script', () => {
  for (const name of PLAIN) {
    assert.deepEqual(buildScript(name, CLIPS, 30, seededRandom(5)), buildScript(name, CLIPS, 30, seededRandom(5)))
  }
})

test('an early hang-up is within three seconds and within the hold', () => {
  for (let seed = 0; seed < 50; seed++) {
    const [first, second] = buildScript('early-hangup', CLIPS, 2, seededRandom(seed)).steps
    assert.ok(first !== undefined && 'stayMs' in first && first.stayMs <= 2_000)
    assert.deepEqual(second, { hangUp: true })
  }
})

test('a missing stop loses the socket in one of two ways and is hung up within the hold', () => {
  const ways = new Set<string>()
  for (let seed = 0; seed < 30; seed++) {
    const { steps } = buildScript('missing-stop', CLIPS, 20, seededRandom(seed))
    for (const step of steps) if ('dropSocket' in step) ways.add(step.dropSocket)
    assert.deepEqual(steps.at(-1), { hangUp: true })
  }
  assert.deepEqual([...ways].sort(), ['close-without-stop', 'reset'])
})

test('a visit is one or two turns and a hang-up; an impatient caller leaves within the hold', () => {
  const turns = new Set<number>()
  for (let seed = 0; seed < 30; seed++) {
    const { steps, maxMs } = buildScript('visit', CLIPS, 40, seededRandom(seed))
    turns.add(steps.filter((step) => 'say' in step).length)
    assert.deepEqual([steps.at(-1), maxMs], [{ hangUp: true }, 40_000])
    const [stay] = buildScript('impatient', CLIPS, 40, seededRandom(seed)).steps
    assert.ok(stay !== undefined && 'stayMs' in stay && stay.stayMs <= 40_000)
  }
  assert.deepEqual([...turns].sort(), [1, 2])
})

test('a mixture is made of plain scenarios near its weights', () => {
  const random = seededRandom(2)
  const counts = new Map<string, number>()
  for (let i = 0; i < 10_000; i++) {
    const name = chooseScenario([{ name: 'mixed', weight: 1 }], random)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  assert.ok(Math.abs(counts.get('talk')! / 10_000 - 0.6) < 0.03)
  const apart = ['conversation', 'visit', 'impatient', 'slow-reader']
  assert.deepEqual([...counts.keys()].sort(), PLAIN.filter((name) => !apart.includes(name)).sort())
})

test('[SC1] a caller in conversation says three sentences to a turn, with pauses too short to end it, and the last one to its end', () => {
  const clips = [1_000, 2_000, 3_000].map((ms, i) => ({
    name: `c${i}`,
    ulaw: Buffer.alloc(ms * 8, i + 1),
    ms,
    speechEndMs: ms - 600,
  }))
  const { steps } = buildScript('conversation', clips, 60, () => 0)
  const turns = steps.flatMap((step) => ('steps' in step ? step.steps : [])).filter((step) => 'say' in step)
  const { say } = turns[0] as { say: (typeof clips)[number] }
  assert.equal(say.name, 'c0 c1 c2')
  assert.deepEqual([say.ms, say.speechEndMs], [600 + 1_600 + 3_000, 600 + 1_600 + 2_400])
  assert.deepEqual(
    [1, 2, 3].map((of) => say.ulaw.filter((byte) => byte === of).length / 8),
    [600, 1_600, 3_000],
  )
})

test('[P75] callers wait for a greeting within half of their hold, or not at all with an agent that does not greet', () => {
  const first = (holdS: number, isCallerFirst: boolean) =>
    buildScript('talk', CLIPS, holdS, seededRandom(1), isCallerFirst).steps[0]
  assert.deepEqual(first(60, false), { waitForAgent: 'finished', timeoutMs: 15_000, silentMs: 15_000 })
  assert.deepEqual(first(10, false), { waitForAgent: 'finished', timeoutMs: 15_000, silentMs: 5_000 })
  assert.ok('repeat' in first(10, true)!)
})
