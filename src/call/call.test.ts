// The call driver with a leg and a model that are scripted, and time that is told.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { FakeClock } from '../kit/clock.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { NEW_AGENT } from './agent-state.ts'
import { Call, LAST_WORDS_MS } from './call.ts'
import type { CallMeter } from './meter.ts'
import { LAST_MARK_MAX_MS } from './playout.ts'
import type { Leg, ModelCommand, ModelEvent, ModelListener, ModelSession } from './ports.ts'
import type { CallSettings } from './state.ts'
import { NO_METER } from './testing/meter.ts'
import { testSettings } from './testing/settings.ts'
import { UNTRANSCRIBED } from './transcript.ts'

const ms = (count: number): Buffer => Buffer.alloc(count * 8, 0x55)

/** A call with both its sides; `deeds` is what reached the outside, in order. */
class Bench {
  readonly clock = new FakeClock(1)
  readonly errors: unknown[] = []
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => this.errors.push(error) })
  readonly deeds: string[] = []
  readonly marks: string[] = []
  readonly dropped: string[] = []
  readonly ends: string[] = []
  brings: boolean | undefined
  sentBytes = 0
  onCommand: (command: ModelCommand) => void = () => {}
  readonly call: Call
  readonly #listener: ModelListener

  constructor(settings: Partial<CallSettings> = {}) {
    let listener: ModelListener | undefined
    const meter: CallMeter = {
      ...NO_METER,
      frameDropped: (reason) => this.dropped.push(reason),
      ended: (cause) => this.deeds.push(`meter ${cause}`),
    }
    this.call = new Call(
      {
        callId: 'call_1' as CallId,
        callSid: 'CA1' as CallSid,
        settings: testSettings(settings),
        playout: { leadMs: 200, chunkMs: 60, markEveryMs: 100 },
        mediaWatchdogMs: 10_000,
        onEnded: (cause, next) => this.ends.push(`${cause} ${next.kind}`),
      },
      (given) => {
        listener = given
        return this.#model()
      },
      { clock: this.clock, wheel: this.wheel, log: silentLog, meter },
    )
    this.#listener = listener!
    this.call.start()
  }
  #model(): ModelSession {
    return {
      dial: (history, renewal) => void this.deeds.push(`dial ${history.length} ${renewal}`),
      appendAudio: (buffer, start, end) => void this.deeds.push(`audio ${buffer.toString('latin1', start, end)}`),
      appendSilence: (count) => void this.deeds.push(`silence ${count}`),
      callerSeemsLoud: () => void this.deeds.push('loud'),
      command: (command) => {
        this.deeds.push(command.kind === 'truncate' ? `truncate ${command.itemId} ${command.audioEndMs}` : command.kind)
        this.onCommand(command)
      },
      interrupted: (itemId, text) => void this.deeds.push(`interrupted ${itemId} ${text}`),
      carried: () => NEW_AGENT,
      awaitWords: () => this.brings === true,
      close: () => void this.deeds.push('close model'),
    }
  }
  leg(): Leg {
    return {
      streamSid: 'MZ1',
      sendAudio: (ulaw, mark) => {
        this.sentBytes += ulaw.length
        if (mark !== undefined) this.marks.push(mark)
      },
      clear: () => void this.deeds.push('clear'),
      close: (reason) => void this.deeds.push(`close leg ${reason}`),
    }
  }
  model(event: ModelEvent): void {
    this.#listener.onModelEvent(event)
  }
  audio(responseId: string, itemId: string, bytes: Buffer): void {
    this.#listener.onModelAudio(responseId, itemId, bytes)
  }
  ready(): void {
    this.model({ kind: 'ready', expiresInMs: undefined, renewed: false })
  }
  media(atMs: number): void {
    const buffer = Buffer.from(`${atMs}`)
    this.call.onMedia(buffer, 0, buffer.length, atMs)
  }
  /** Lets time run in steps of a tick. */
  run(forMs: number, each: () => void = () => {}): void {
    for (let passed = 0; passed < forMs; passed += 10) {
      this.clock.advance(10)
      each()
      this.wheel.advance()
    }
  }
  live(): this {
    this.call.attach(this.leg())
    this.ready()
    return this
  }
  /** The call is over: once, with nothing of it left to run. */
  over(end: string): void {
    assert.deepEqual(this.ends, [end])
    assert.equal(this.wheel.size, 0, 'a timer outlives the call')
    assert.equal(this.deeds.filter((deed) => deed === 'close model').length, 1)
    assert.deepEqual(this.errors, [])
  }
}

suite('the way in', () => {
  test('[EA1] the caller is heard from the first frame: what came before the model is kept, in order', () => {
    const bench = new Bench()
    bench.call.attach(bench.leg())
    for (const atMs of [0, 20, 40]) bench.media(atMs)
    bench.ready()
    bench.media(60)
    assert.deepEqual(bench.deeds, ['dial 0 false', 'audio 0', 'audio 20', 'audio 40', 'audio 60'])
  })

  test('[CM3] media that stays away ends the call; as long as it comes it goes on', () => {
    const bench = new Bench().live()
    let atMs = 0
    bench.run(30_000, () => {
      atMs += 20
      bench.media(atMs)
    })
    assert.deepEqual(bench.ends, [])
    bench.run(13_000)
    bench.over('media-silent hang-up')
  })

  test('[CD1] a caller whose media stops amid a sentence is given silence, so that his turn can end', () => {
    const bench = new Bench().live()
    bench.media(0)
    bench.model({ kind: 'speech-started', itemId: 'u' })
    bench.run(3_500)
    assert.ok(bench.deeds.includes('silence 1000'))
    bench.model({ kind: 'speech-stopped', itemId: 'u' })
    const before = bench.deeds.length
    bench.run(2_000)
    assert.equal(bench.deeds.length, before)
  })

  test('[CD4] a second stream of the same call is refused, and any after the end', () => {
    const bench = new Bench().live()
    assert.equal(bench.call.attach(bench.leg()), false)
    bench.call.carrierEnded()
    assert.equal(bench.call.attach(bench.leg()), false)
    bench.over('caller-hung-up none')
  })
})

suite('the way out', () => {
  test('[SP2] audio of the agent before the stream is there waits, then leaves at once', () => {
    const bench = new Bench()
    bench.ready()
    bench.audio('r', 'i', ms(500))
    bench.run(1_000)
    assert.equal(bench.sentBytes, 0)
    bench.call.attach(bench.leg())
    assert.equal(bench.sentBytes, 200 * 8)
    bench.run(500)
    assert.equal(bench.sentBytes, 500 * 8)
  })

  test('[SP1] there is a timer of the voice only while there is something to send', () => {
    const bench = new Bench().live()
    const before = bench.wheel.size
    bench.model({ kind: 'response-started', responseId: 'r' })
    bench.audio('r', 'i', ms(500))
    bench.model({ kind: 'response-ended', responseId: 'r', status: 'completed' })
    assert.equal(bench.wheel.size, before + 1)
    bench.run(600, () => bench.media(bench.clock.monotonicMs()))
    assert.equal(bench.sentBytes, 500 * 8)
    assert.equal(bench.wheel.size, before)
  })

  test('[TU2] barge-in: clear, truncate at what was heard, and late audio of that response is dropped', () => {
    const bench = new Bench().live()
    bench.model({ kind: 'response-started', responseId: 'r' })
    bench.audio('r', 'i', ms(1_000))
    bench.model({ kind: 'agent-said', itemId: 'i', text: 'one two three four' })
    bench.run(300)
    bench.deeds.length = 0
    bench.model({ kind: 'speech-started', itemId: 'u' })
    assert.deepEqual(bench.deeds, ['clear', 'truncate i 300', 'interrupted i one'])
    const sent = bench.sentBytes
    bench.audio('r', 'i', ms(200))
    bench.run(500)
    assert.equal(bench.sentBytes, sent)
    assert.deepEqual(bench.dropped, ['after-barge-in'])
    bench.model({ kind: 'response-started', responseId: 's' })
    bench.audio('s', 'j', ms(100))
    assert.equal(bench.sentBytes, sent + 800)
  })

  test('[CM4] a lost link makes a sound of ours that no barge-in tells the model of', () => {
    const bench = new Bench().live()
    bench.model({ kind: 'lost', loss: { code: 'x', fatal: false } })
    assert.ok(bench.sentBytes > 0)
    bench.deeds.length = 0
    bench.run(120)
    bench.ready()
    bench.model({ kind: 'speech-started', itemId: 'u' })
    assert.deepEqual(bench.deeds, ['dial 0 false', 'clear'])
  })
})

suite('the end', () => {
  test('[P16][CM5] a call that ends waits until what was said has been heard, and for its last mark within a bound', () => {
    const bench = new Bench().live()
    bench.audio('r', 'i', ms(2_000))
    bench.model({ kind: 'audio-ended', itemId: 'i' })
    bench.call.endCall()
    bench.run(1_900, () => bench.media(bench.clock.monotonicMs()))
    assert.deepEqual(bench.ends, [])
    bench.run(LAST_MARK_MAX_MS + 400)
    bench.over('agent-ended hang-up')
    assert.equal(bench.sentBytes, 16_000)
    assert.ok(bench.deeds.includes('close leg agent-ended'))
  })

  test('[CM5] a response that never ends does not hold a closing call beyond its bound', () => {
    const bench = new Bench({ closingMaxMs: 3_000, modelStallMs: 60_000 }).live()
    bench.model({ kind: 'response-started', responseId: 'r' })
    bench.call.transferCall('+49')
    bench.run(2_900)
    assert.deepEqual(bench.ends, [])
    bench.run(200)
    bench.over('transferred transfer')
  })

  test('[CD4] whatever is told after the end is ignored, and no timer of the call is left', () => {
    const bench = new Bench({ greeting: { kind: 'agent' } }).live()
    bench.audio('r', 'i', ms(1_000))
    bench.call.onDigit('1')
    bench.call.onLegEnd({ cause: 'stop', code: 1000 })
    bench.over('caller-hung-up none')
    const before = bench.deeds.length
    bench.call.onLegEnd({ cause: 'lost', code: 1006 })
    bench.call.carrierEnded()
    bench.call.endCall()
    bench.call.drainOver()
    bench.call.onDigit('2')
    bench.call.onMark('vp:0:1')
    bench.media(20)
    bench.ready()
    bench.audio('r2', 'j', ms(100))
    bench.model({ kind: 'response-wanted' })
    bench.run(40_000)
    assert.equal(bench.deeds.length, before)
    bench.over('caller-hung-up none')
  })

  test('[CM3] a stream that never comes gives everything back', () => {
    const bench = new Bench()
    bench.ready()
    bench.run(30_100)
    bench.over('stream-never-came none')
  })

  test('[CD3] an event that arises while effects run waits its turn', () => {
    const bench = new Bench({ greeting: { kind: 'agent' } })
    bench.onCommand = (command) => {
      if (command.kind !== 'respond') return
      bench.onCommand = () => {}
      bench.model({ kind: 'response-started', responseId: 'r' })
      bench.model({ kind: 'response-ended', responseId: 'r', status: 'failed', code: 'server_error' })
    }
    bench.live()
    bench.run(400)
    assert.deepEqual(
      bench.deeds.filter((deed) => deed === 'respond'),
      ['respond', 'respond'],
    )
    assert.equal(bench.call.state.response.kind, 'requested')
    bench.call.drainOver()
    bench.over('drained hang-up')
  })
})

suite('last words', () => {
  /** A caller who has just spoken and hangs up. */
  const hungUp = (brings = true): Bench => {
    const bench = new Bench().live()
    bench.brings = brings
    bench.model({ kind: 'speech-started', itemId: 'i1' })
    bench.model({ kind: 'speech-stopped', itemId: 'i1' })
    bench.call.onLegEnd({ cause: 'stop', code: 1000 })
    assert.deepEqual(bench.ends, ['caller-hung-up none'], 'the end is told at once')
    return bench
  }
  const words = ({ call }: Bench) => call.checkpoint.transcript.items.map((item) => item.kind === 'caller' && item.text)

  test('[P36][CD5] words that are transcribed after the caller has hung up are in the call, and then its link closes', async () => {
    const bench = hungUp()
    bench.run(1_000)
    assert.ok(!bench.deeds.includes('close model'), 'the link is open for them')
    bench.model({ kind: 'tool-called', toolCallId: 't', name: 'n', arguments: '{}' })
    bench.model({ kind: 'caller-said', itemId: 'i1', text: 'please cancel my order' })
    await bench.call.lastWords
    assert.deepEqual(words(bench), ['please cancel my order'])
    bench.over('caller-hung-up none')
  })

  test('[P36][CD5] a part that came is kept, and what never comes has a line that says so, within the bound', async () => {
    for (const [part, line] of [
      ['please can', 'please can'],
      [undefined, UNTRANSCRIBED],
    ] as const) {
      const bench = hungUp()
      if (part !== undefined) bench.model({ kind: 'caller-said-part', itemId: 'i1', text: part })
      bench.run(LAST_WORDS_MS - 20)
      assert.ok(!bench.deeds.includes('close model'))
      bench.run(40)
      await bench.call.lastWords
      assert.deepEqual(words(bench), [line])
      bench.over('caller-hung-up none')
    }
  })

  test('[P36][CD5] nothing is awaited of a session that transcribes nothing, nor when all words have come, nor of a call that moves', () => {
    const silent = hungUp(false)
    assert.equal(silent.call.lastWords, undefined)
    silent.over('caller-hung-up none')
    const whole = new Bench().live()
    whole.brings = true
    whole.call.onLegEnd({ cause: 'stop', code: 1000 })
    assert.equal(whole.call.lastWords, undefined)
    whole.over('caller-hung-up none')
    const moved = new Bench().live()
    moved.brings = true
    moved.model({ kind: 'speech-started', itemId: 'i1' })
    moved.model({ kind: 'speech-stopped', itemId: 'i1' })
    moved.call.relinquish('moved')
    assert.equal(moved.call.lastWords, undefined)
    moved.over('moved none')
  })

  test('[P36][TR5] parts grow to the whole; a transcription that fails or is empty leaves a line that says so', () => {
    const bench = new Bench().live()
    for (const itemId of ['i1', 'i2', 'i3', 'i4']) {
      bench.model({ kind: 'speech-started', itemId })
      bench.model({ kind: 'speech-stopped', itemId })
    }
    for (const text of ['please ', 'cancel']) bench.model({ kind: 'caller-said-part', itemId: 'i1', text })
    assert.equal(words(bench)[0], 'please cancel')
    bench.model({ kind: 'caller-said', itemId: 'i1', text: 'Please, cancel it.' })
    bench.model({ kind: 'caller-said-part', itemId: 'i1', text: ' late' })
    bench.model({ kind: 'caller-unclear', itemId: 'i2' })
    bench.model({ kind: 'caller-said', itemId: 'i3', text: '' })
    bench.model({ kind: 'caller-said-part', itemId: 'i4', text: 'my order' })
    bench.model({ kind: 'caller-unclear', itemId: 'i4' })
    assert.deepEqual(words(bench), ['Please, cancel it.', UNTRANSCRIBED, UNTRANSCRIBED, 'my order'])
  })
})
