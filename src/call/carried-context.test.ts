import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CONTEXT_MAX_CHARS, carryContext, restoreContext } from './carried-context.ts'

class Basket {
  readonly items = ['apple']
}

/** What another pod has of a context: through JSON, into what its own pack made. */
function moved(now: object, made: object | undefined, madeThere: object | undefined): object | undefined {
  const carried = carryContext(now, made)
  assert.notEqual(carried, 'too-large')
  return restoreContext(madeThere, JSON.parse(JSON.stringify(carried)))
}

test('[P1][CX1] what is JSON goes over, what is not is what the pack made there', () => {
  const ask = (): string => 'here'
  const now = {
    plan: 'Gold',
    seen: [1, 2],
    basket: new Basket(),
    ask,
    at: new Date(0),
    desk: { open: true, ask },
    list: [ask],
  }
  const there = {
    plan: 'None',
    basket: 'fresh',
    ask: 'fresh',
    at: 'fresh',
    desk: { open: false, ask: 'fresh' },
    list: 'fresh',
    more: 1,
  }
  assert.deepEqual(moved(now, {}, there), {
    plan: 'Gold',
    seen: [1, 2],
    basket: 'fresh',
    ask: 'fresh',
    at: 'fresh',
    desk: { open: true, ask: 'fresh' },
    list: 'fresh',
    more: 1,
  })
})

test('[CX1] call and history are the pod’s own', () => {
  const there = { call: 'there', plan: 'None' }
  assert.deepEqual(moved({ call: { from: 'x' }, history: [1], plan: 'Gold' }, {}, there), {
    call: 'there',
    plan: 'Gold',
  })
})

test('[CX2] a key that was removed stays removed', () => {
  assert.deepEqual(moved({ a: 1 }, { a: 1, secret: 'x' }, { a: 0, secret: 'x', b: 2 }), { a: 1, b: 2 })
})

test('[CX3] a context beyond its bound stays behind', () => {
  assert.equal(carryContext({ text: 'x'.repeat(CONTEXT_MAX_CHARS) }, undefined), 'too-large')
})

test('[CX4] what the pack made is not written into', () => {
  const made = { deep: { count: 0, ask: () => 1 }, plan: 'None' }
  const restored = moved({ deep: { count: 5, ask: () => 2 }, plan: 'Gold' }, {}, made)
  assert.equal((restored as typeof made).deep.count, 5)
  assert.deepEqual([made.deep.count, made.plan], [0, 'None'])
})

test('[CX1] any JSON context arrives as it was; one without keys is the pack’s', () => {
  const context = fc.dictionary(
    fc.string().filter((key) => !['call', 'history', '__proto__'].includes(key)),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(context, (now) => {
      const plain = JSON.parse(JSON.stringify(now)) as object
      assert.deepEqual(moved(plain, undefined, undefined) ?? {}, plain)
    }),
  )
  const made = { a: 1 }
  assert.equal(moved({ a: 1 }, { a: 1 }, made) === made, false)
  assert.equal(moved({}, undefined, made), made)
})
