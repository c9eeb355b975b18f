// The load generator tells the truth about itself and about the bridge, tried on a real bridge between the two simulators.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Bench } from '../runner/bench.ts'
import { startContender } from '../runner/contenders.ts'
import { type RunningLoad, startLoad } from '../runner/load.ts'
import { startModel } from '../runner/model.ts'
import { familyOf } from '../runner/procfs.ts'

const STALL_MS = 300

async function loaded(act: (load: RunningLoad, bridgePid: number, bench: Bench) => Promise<void>) {
  const bench = await Bench.open('generator-test', {})
  try {
    const model = await startModel(bench)
    const bridge = await startContender(bench, 'bare', model, 4)
    const load = startLoad(bench, {
      urls: [bridge.url],
      calls: 3,
      ratePerSecond: 20,
      holdS: 4,
      scenario: 'talk',
      seed: 1,
    })
    await load.allTalking()
    await act(load, bridge.pid, bench)
    return await load.report()
  } finally {
    await bench.close()
  }
}

suite('load generator', { concurrency: true }, () => {
  test('a caller process that was held up says that it was late, and which figures that spoils', async () => {
    const { figures, isClean } = await loaded(async (load, _bridge, bench) => {
      const callers = familyOf(load.pid).filter((pid) => pid !== load.pid)
      assert.equal(callers.length, 1)
      process.kill(callers[0]!, 'SIGSTOP')
      await bench.pause(STALL_MS)
      process.kill(callers[0]!, 'SIGCONT')
    })
    assert.equal(figures.generator.isLate, true)
    assert.equal(figures.generator.lateCalls, 3)
    assert.ok(figures.generator.latenessMs.max! >= STALL_MS - 100, `max ${figures.generator.latenessMs.max}`)
    assert.ok(figures.generator.distrust.length > 0)
    assert.equal(isClean, true, 'lateness of the generator is not a failure of the plane')
  })

  test('a bridge that dies under load drops every call, and the report says so', async () => {
    const { figures, isClean } = await loaded(async (_load, bridgePid) => {
      process.kill(bridgePid, 'SIGKILL')
    })
    assert.equal(figures.calls.dropped, 3)
    assert.equal(figures.setUp.succeeded, 3)
    assert.equal(isClean, false)
  })

  test('calls that are hung up from outside end as hang-ups, not as drops', async () => {
    const { figures, wasInterrupted } = await loaded(async (load) => load.hangUp())
    assert.deepEqual(figures.calls.ends, { 'caller-hung-up': 3 })
    assert.equal(figures.calls.dropped, 0)
    assert.equal(wasInterrupted, false)
  })
})
