// Every state of a pod has a way out: each state × each thing that can happen to it, and where it leads.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { FLUSH_MAX_MS, FORCE_WAIT_MS, type PodEvent } from './pod-life.ts'
import { Life, many, SETTINGS } from './testing/life.ts'

const SIGNAL: PodEvent = { kind: 'signal' }
const DRAIN: PodEvent = { kind: 'drain', cause: 'request' }
const FENCED: PodEvent = { kind: 'fenced' }
const STARTED: PodEvent = { kind: 'started' }

/** How a pod with two calls comes into each state. */
const STATES: Record<string, () => Life> = {
  starting: () => new Life(),
  ready: () => new Life({}, STARTED),
  cordoned: () => new Life({}, STARTED, { kind: 'cordon' }),
  'without its store': () => new Life({}, STARTED, { kind: 'store-lost' }),
  'draining by a signal': () => new Life({}, STARTED, SIGNAL),
  'draining by POST /drain': () => new Life({}, STARTED, DRAIN),
  'handing over, by a signal': () => after(new Life({}, STARTED, SIGNAL), SETTINGS.naturalMs),
  'handing over, by POST /drain': () => after(new Life({}, STARTED, DRAIN), SETTINGS.naturalMs),
  closing: () => new Life({}, STARTED, SIGNAL, SIGNAL),
  flushing: () => after(new Life({}, STARTED, SIGNAL, SIGNAL), FORCE_WAIT_MS),
  fenced: () => new Life({}, STARTED, FENCED),
  down: () => after(new Life({}, STARTED, FENCED), FORCE_WAIT_MS),
}
type StateName = keyof typeof STATES

function after(life: Life, ms: number): Life {
  life.calls = many(2)
  life.run(ms)
  return life
}

const DEEDS: Record<string, (life: Life) => void> = {
  SIGTERM: (life) => void life.take(SIGNAL),
  'second SIGTERM': (life) => {
    life.take(SIGNAL)
    life.take(SIGNAL)
  },
  'POST /drain': (life) => void life.take(DRAIN),
  'a fence': (life) => void life.take(FENCED),
  'the store away': (life) => void life.take({ kind: 'store-lost' }),
  'the store back': (life) => void life.take({ kind: 'store-found' }),
  'the last call ends': (life) => {
    life.calls = []
    life.take({ kind: 'tick', calls: [] })
  },
}
const NAMES = Object.keys(DEEDS)

/** The phase after each deed, in the order of DEEDS. */
const TABLE: Record<StateName, readonly string[]> = {
  starting: ['draining', 'flushing', 'draining', 'fenced', 'warming', 'warming', 'warming'],
  ready: ['draining', 'flushing', 'draining', 'fenced', 'suspect', 'ready', 'ready'],
  cordoned: ['draining', 'flushing', 'draining', 'fenced', 'suspect', 'cordoned', 'cordoned'],
  'without its store': ['draining', 'flushing', 'draining', 'fenced', 'suspect', 'ready', 'suspect'],
  'draining by a signal': ['flushing', 'flushing', 'draining', 'fenced', 'draining', 'draining', 'draining'],
  'draining by POST /drain': ['draining', 'flushing', 'draining', 'fenced', 'draining', 'draining', 'draining'],
  'handing over, by a signal': ['flushing', 'flushing', 'migrating', 'fenced', 'migrating', 'migrating', 'flushing'],
  'handing over, by POST /drain': [
    'migrating',
    'flushing',
    'migrating',
    'fenced',
    'migrating',
    'migrating',
    'flushing',
  ],
  closing: ['flushing', 'flushing', 'flushing', 'fenced', 'flushing', 'flushing', 'flushing'],
  flushing: ['flushing', 'flushing', 'flushing', 'fenced', 'flushing', 'flushing', 'flushing'],
  fenced: ['fenced', 'fenced', 'fenced', 'fenced', 'fenced', 'fenced', 'down'],
  down: ['down', 'down', 'down', 'down', 'down', 'down', 'down'],
}

function inState(name: StateName): Life {
  const life = STATES[name]!()
  if (name !== 'starting' && name !== 'down') life.calls = many(2)
  return life
}

/** Ticks until the pod is down; how long it took. Handovers come to nothing, flushes never end. */
function untilDown(life: Life): number {
  const fromMs = life.nowMs
  while (life.phase !== 'down' && life.nowMs - fromMs < SETTINGS.graceMs) life.run(100)
  return life.nowMs - fromMs
}

suite('every state of a pod has a way out', () => {
  for (const [state, row] of Object.entries(TABLE)) {
    test(`[O2][LV1] ${state}: what follows each signal`, () => {
      assert.equal(row.length, NAMES.length)
      const found = NAMES.map((name) => {
        const life = inState(state)
        DEEDS[name]!(life)
        return life.phase
      })
      assert.deepEqual(found, row)
    })

    test(`[O2][LV6][LV7] ${state}: one SIGTERM leads out within the grace, two within seconds, a fence too; with one exit`, () => {
      for (const [name, withinMs] of [
        ['SIGTERM', SETTINGS.graceMs],
        ['second SIGTERM', FORCE_WAIT_MS + FLUSH_MAX_MS + 200],
        ['a fence', FORCE_WAIT_MS + 100],
        ['POST /drain', SETTINGS.graceMs],
      ] as const) {
        const life = inState(state)
        DEEDS[name]!(life)
        assert.ok(untilDown(life) <= withinMs, `${name}: ${life.phase}`)
        assert.equal(life.of('exit').length, 1, name)
      }
    })
  }

  test('[O2][LV4] drained by a request or by a signal, a pod whose last call has ended is down as soon as it has flushed', () => {
    for (const state of [
      'draining by a signal',
      'draining by POST /drain',
      'handing over, by a signal',
      'handing over, by POST /drain',
    ]) {
      const life = inState(state)
      life.calls = []
      for (let ms = 0; life.phase !== 'flushing' && ms <= SETTINGS.arrivalsMs; ms += 100) life.run(100)
      assert.equal(life.phase, 'flushing', state)
      life.take({ kind: 'flushed' })
      assert.deepEqual([life.phase, life.of('exit')[0]?.cause], ['down', 'flushed'], state)
    }
  })
})
