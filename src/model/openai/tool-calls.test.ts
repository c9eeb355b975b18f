// Tool calls on their way to the SDK: broken arguments, bounds, answers that come too late. Time of the wheel is told.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { NEW_SESSION, type SessionStart } from '../../call/ports.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import { ToolCalls } from './tool-calls.ts'
import type { ServerEvent } from './wire.ts'

const TOOL_MAX_MS = 2_000

class Bench {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly deeds: string[] = []
  readonly kept: string[] = []
  readonly tools: ToolCalls
  constructor(gate?: SessionStart['gate']) {
    const world = { log: silentLog, wheel: this.wheel, toolMaxMs: TOOL_MAX_MS }
    this.tools = new ToolCalls({ ...NEW_SESSION, gate }, world, {
      run: (event) => this.deeds.push(`run ${(event.item as { arguments: string }).arguments}`),
      decline: (id, _name, words) => {
        this.tools.settle(id)
        this.deeds.push(`decline ${id} ${words.slice(0, 12)}`)
      },
      tellLate: (name, output) => this.deeds.push(`late ${name} ${output}`),
    })
  }
  call(toolCallId: string, argumentsText: string): void {
    const item = { type: 'function_call', call_id: toolCallId, name: 't', arguments: argumentsText }
    const event: ServerEvent = { type: 'response.output_item.done', item }
    this.tools.run(event, { toolCallId, name: 't', argumentsText })
  }
  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.clock.advance(50)
      this.wheel.advance()
    }
  }
}

suite('a tool call', () => {
  test('[P3] [OT4] with arguments that are no object is answered with an error and does not run, gate or not', () => {
    const gate: SessionStart['gate'] = { before: () => assert.fail('an intent was noted'), after() {} }
    for (const bench of [new Bench(), new Bench(gate)]) {
      for (const broken of ['{"town":"Ber', '[]', '7', 'null', '"x"', 'town']) bench.call(broken, broken)
      assert.equal(bench.deeds.length, 6)
      assert.ok(bench.deeds.every((deed) => deed.startsWith('decline')))
      assert.equal(bench.wheel.size, 0)
    }
  })

  test('[OT4] without arguments has none: an empty object', () => {
    const bench = new Bench()
    bench.call('c', ' ')
    assert.deepEqual(bench.deeds, ['run {}'])
    bench.tools.close()
    assert.equal(bench.wheel.size, 0)
  })

  test('[TOOL-5][P3] [OT5] that has not answered in time is answered for, once; what it answers later is a note', () => {
    const bench = new Bench()
    bench.call('c', '{}')
    bench.run(TOOL_MAX_MS - 100)
    assert.equal(bench.deeds.length, 1)
    bench.run(200)
    assert.deepEqual(bench.deeds.slice(1), ['decline c This has not'])
    assert.equal(bench.tools.isAnswered('c'), true)
    assert.equal(bench.tools.answered('c', 't', 'done'), false)
    assert.deepEqual(bench.deeds.slice(2), ['late t done'])
    bench.run(10_000)
    assert.deepEqual([bench.deeds.length, bench.wheel.size], [3, 0])
  })

  test('[OT5] that has answered in time has no bound left', () => {
    const bench = new Bench()
    bench.call('c', '{}')
    assert.equal(bench.tools.answered('c', 't', 'done'), true)
    bench.run(10_000)
    assert.deepEqual([bench.deeds.length, bench.wheel.size], [1, 0])
  })

  test('[OT5] whose gate takes longer than the tool may is answered for, and a late refusal says nothing more', async () => {
    let decide: (answer: { kind: 'decline'; words: string }) => void = () => {}
    const gate: SessionStart['gate'] = {
      before: () =>
        new Promise((resolve) => {
          decide = resolve
        }),
      after() {},
    }
    const bench = new Bench(gate)
    bench.call('c', '{}')
    bench.run(TOOL_MAX_MS + 100)
    decide({ kind: 'decline', words: 'The store is away.' })
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(bench.deeds, ['decline c This has not'])
  })

  test('[OT6] that nobody will answer any more is answered with an error, once', async () => {
    const bench = new Bench()
    bench.call('c', '{}')
    bench.tools.fail('c')
    bench.tools.fail('c')
    assert.deepEqual(bench.deeds.slice(1), ['decline c This failed,'])
    const gate: SessionStart['gate'] = { before: () => Promise.reject(new Error('away')), after() {} }
    const gated = new Bench(gate)
    gated.call('d', '{}')
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([gated.deeds, gated.wheel.size], [['decline d This failed,'], 0])
  })
})
