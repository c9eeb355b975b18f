// From signals to the exit of the process, with roles that drain, hang, end by themselves or never start.
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, mock, suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { silentLog } from './kit/log.ts'
import { closeWithin, EXIT_FENCED, runUntilStopped, STARTING_MAX_MS, type Stoppable } from './stopping.ts'

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
afterEach(() => mock.timers.reset())

/** A role of which each step comes when the test says so. */
class Role implements Stoppable {
  readonly asked: string[] = []
  readonly signals = new EventEmitter()
  readonly started = Promise.withResolvers<void>()
  readonly drained = Promise.withResolvers<void>()
  readonly closed = Promise.withResolvers<void>()
  readonly over = Promise.withResolvers<'drained' | 'fenced'>()
  readonly ended = this.over.promise
  code: number | undefined
  error: unknown

  constructor() {
    const start = async (): Promise<Stoppable> => {
      await this.started.promise
      return this
    }
    runUntilStopped(start, { signals: this.signals, log: silentLog }).then(
      (code) => {
        this.code = code
      },
      (error: unknown) => {
        this.error = error
      },
    )
  }
  drain(): Promise<void> {
    this.asked.push('drain')
    return this.drained.promise
  }
  close(): Promise<void> {
    this.asked.push('close')
    return this.closed.promise
  }
  async signal(name = 'SIGTERM'): Promise<void> {
    this.signals.emit(name, name)
    await turn()
  }
  async start(): Promise<this> {
    this.started.resolve()
    await turn()
    return this
  }
}

suite('the way out of a process', () => {
  test('[O2][WO1] signals drain, let go, close, exit, in this order, whatever hangs', async () => {
    const role = await new Role().start()
    const seen: [string[], number | undefined][] = []
    for (const name of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGINT']) {
      await role.signal(name)
      seen.push([role.asked.slice(), role.code])
    }
    assert.deepEqual(seen, [
      [['drain'], undefined],
      [['drain', 'drain'], undefined],
      [['drain', 'drain', 'close'], undefined],
      [['drain', 'drain', 'close'], 0],
    ])
  })

  test('[WO1] a drain that ends is an exit with 0', async () => {
    const role = await new Role().start()
    await role.signal()
    role.drained.resolve()
    await turn()
    assert.equal(role.code, 0)
  })

  test('[POD-13][O2][WO2] a role that has drained without a signal exits with 0, one that was fenced with its own code', async () => {
    const drained = await new Role().start()
    drained.over.resolve('drained')
    await turn()
    assert.deepEqual([drained.asked, drained.code], [['drain'], undefined], 'its last questions are awaited')
    drained.drained.resolve()
    await turn()
    assert.equal(drained.code, 0)
    const fenced = await new Role().start()
    fenced.over.resolve('fenced')
    await turn()
    assert.deepEqual([fenced.asked, fenced.code], [['close'], undefined])
    fenced.closed.resolve()
    await turn()
    assert.equal(fenced.code, EXIT_FENCED)
  })

  test('[O2][WO3] a start that fails after a signal was ended by it: quietly, with 0', async () => {
    const role = new Role()
    await role.signal('SIGINT')
    role.started.reject(new Error('the bundler was stopped'))
    await turn()
    assert.deepEqual([role.code, role.error], [0, undefined])
    const broken = new Role()
    broken.started.reject(new Error('no such file'))
    await turn()
    assert.deepEqual([broken.code, String(broken.error)], [undefined, 'Error: no such file'])
  })

  test('[O2][WO3] a signal while a role starts: drained as soon as it is there, or given up; a second one exits at once', async () => {
    const slow = new Role()
    await slow.signal()
    mock.timers.tick(STARTING_MAX_MS - 1)
    await slow.start()
    assert.deepEqual([slow.asked, slow.code], [['drain'], undefined])
    mock.timers.tick(10)
    await turn()
    assert.equal(slow.code, undefined, 'it has started: the bound of the start is over')
    slow.drained.resolve()
    await turn()
    assert.equal(slow.code, 0)
    const never = new Role()
    await never.signal()
    mock.timers.tick(STARTING_MAX_MS)
    await turn()
    assert.deepEqual([never.asked, never.code], [[], 0])
    const twice = new Role()
    await twice.signal()
    assert.equal(twice.code, undefined)
    await twice.signal()
    assert.equal(twice.code, 0)
  })

  test('a role that cannot start says why', async () => {
    const role = new Role()
    role.started.reject(new Error('no database'))
    await turn()
    assert.match(String(role.error), /no database/)
  })

  test('[O2][ED2] a close that hangs or fails does not hold up the exit', async () => {
    const hangs = closeWithin(1_000, silentLog, () => new Promise(() => {}))
    mock.timers.tick(1_000)
    await hangs
    await closeWithin(1_000, silentLog, () => Promise.reject(new Error('gone')))
  })
})
