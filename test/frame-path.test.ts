// The ways of one frame as ARCHITECTURE.md names them, held against the calls that a live call really makes: each line is compared with
// the stack at the line's last function. Private methods and plain functions are left out of both.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Playout } from '../src/call/playout.ts'
import { WebSocketConnection } from '../src/kit/websocket/connection.ts'
import { ROOT } from '../tools/tree.ts'
import { LISTEN, Plane } from './plane.ts'

const PAGE = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')
const STACK_MAX = 60

/** The functions on the line of ARCHITECTURE.md that begins with `start`. */
function namedAfter(start: string): string[] {
  const line = PAGE.split('\n').find((one) => one.startsWith(`- ${start}:`))
  assert.ok(line !== undefined, `ARCHITECTURE.md has no line "${start}"`)
  return [...line.matchAll(/`(\w+\.\w+)`/g)].map((match) => match[1]!)
}

const ways = new Map<string, Set<string>>()

/** Notes from `first` on, outermost first, which public methods led to `last`. */
function noteWay(name: string, [first, last]: readonly [string, string]): void {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = STACK_MAX
  const stack = new Error('where').stack ?? ''
  Error.stackTraceLimit = stackTraceLimit
  const passed = [...stack.matchAll(/^ {4}at (\w+\.\w+) /gm)].map((match) => match[1]!).reverse()
  if (!passed.includes(first)) return
  const way = [...passed.slice(passed.lastIndexOf(first)), last].join(' → ')
  const seen = ways.get(name) ?? new Set()
  ways.set(name, seen.add(way))
}

type Method = (...values: unknown[]) => unknown
/** Calls `look` before each call of the method, until all tests are over. */
function spy(owner: object, method: string, look: () => void): void {
  const methods = owner as Record<string, Method>
  const own = methods[method]!
  methods[method] = function (...values) {
    look()
    return own.apply(this, values)
  }
  after(() => {
    methods[method] = own
  })
}

test('each function that a frame passes is on its line of ARCHITECTURE.md, in order, and no other', async () => {
  const lines = {
    'One frame of the caller': { owner: WebSocketConnection.prototype, method: 'sendSpliced' },
    'One piece of the agent': { owner: Playout.prototype, method: 'push' },
    'One piece to the caller': { owner: WebSocketConnection.prototype, method: 'sendBase64' },
  }
  for (const [start, { owner, method }] of Object.entries(lines)) {
    const named = namedAfter(start)
    spy(owner, method, () => noteWay(start, [named[0]!, named.at(-1)!]))
  }
  await Plane.with({ env: { APPEND_COALESCE: 'off' } }, async (plane) => {
    await plane.call(LISTEN)
  })
  for (const start of Object.keys(lines)) {
    const seen = [...(ways.get(start) ?? [])]
    assert.deepEqual(seen, [namedAfter(start).join(' → ')], start)
  }
})
