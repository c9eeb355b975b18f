// The log: what it drops when nobody reads, and what it leaves out when strangers cause it.
import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { mock, test } from 'node:test'
import { type Log, LogLines, makeLog, sampled, silentLog } from './log.ts'

/** A reader that takes a line only when told to. */
class Reader extends Writable {
  readonly taken: string[] = []
  #waiting: (() => void) | undefined
  isReading = false

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk.toString())
    if (this.isReading) done()
    else this.#waiting = done
  }

  read(): void {
    this.isReading = true
    this.#waiting?.()
    this.#waiting = undefined
  }
}

const LINE = `${'x'.repeat(99)}\n`

test('[SAFE-10][S6] [LG3] lines wait up to the bound, further ones are dropped, counted and told of', async () => {
  const reader = new Reader()
  const lines = new LogLines(reader, { waitingMaxBytes: 1_000 })
  for (let i = 0; i < 25; i += 1) lines.write(LINE)
  assert.equal(lines.dropped, 15)
  assert.ok(reader.writableLength <= 1_000)
  reader.read()
  await lines.flush()
  lines.write(LINE)
  await lines.flush()
  const [told, last] = reader.taken.join('').trimEnd().split('\n').slice(-2)
  const { lines: count, msg } = JSON.parse(told!)
  assert.deepEqual([count, msg, last], [15, 'log lines were dropped, nobody read them', LINE.trimEnd()])
})

test('[S6] [LG5] flushing a log that nobody reads ends by itself', async () => {
  const lines = new LogLines(new Reader())
  lines.write(LINE)
  await lines.flush()
  assert.equal(lines.dropped, 0)
})

test('[LG3] a reader that is gone costs lines, not the process', async () => {
  const reader = new Reader()
  const lines = new LogLines(reader)
  reader.destroy(new Error('EPIPE'))
  await new Promise((resolve) => setImmediate(resolve))
  lines.write(LINE)
  await lines.flush()
  assert.equal(lines.dropped, 1)
})

test('[S6] [LG4] of many lines with one message some are written, and a second later how many were not', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const said: string[] = []
    const log: Log = {
      ...silentLog,
      warn: (fields, message) => void said.push(`${message} ${JSON.stringify(fields)}`),
      child: () => log,
    }
    const few = sampled(log, { perSecond: 3 })
    for (let i = 0; i < 100; i += 1) few.child({}).warn({ i }, 'refused')
    few.warn({}, 'another')
    assert.deepEqual(said, ['refused {"i":0}', 'refused {"i":1}', 'refused {"i":2}', 'another {}'])
    mock.timers.tick(1_000)
    assert.deepEqual(said.slice(4), ['log lines were left out {"of":"refused","lines":97}'])
    few.warn({ i: 100 }, 'refused')
    assert.equal(said.at(-1), 'refused {"i":100}')
    mock.timers.tick(2_000)
    assert.equal(said.length, 6)
  } finally {
    mock.timers.reset()
  }
})

test('[SAFE-7][LG2] personal data stays out unless it was asked for', () => {
  const written = (showPii: boolean): string => {
    let text = ''
    const write = (line: string): void => {
      text += line
    }
    const log = makeLog({ level: 'info', showPii, destination: { write } })
    log.info({ 'pii.from': '+15005550006', callSid: 'CA1' }, 'call offered')
    return text
  }
  assert.doesNotMatch(written(false), /5005550006/)
  assert.match(written(true), /5005550006/)
})
