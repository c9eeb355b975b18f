// The bounds of a call on the real driver, with a scripted model and time that is told: its time over moves, silence, money.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { FakeClock } from '../kit/clock.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { NEW_AGENT } from './agent-state.ts'
import { Call } from './call.ts'
import { GAP_MAX_MS, readCheckpoint, resumeFrom, writeCheckpoint } from './checkpoint.ts'
import type { CallMeter } from './meter.ts'
import type { Leg, ModelCommand, ModelListener, ModelSession } from './ports.ts'
import type { CallSettings, CallState } from './state.ts'
import { amountsOf, type Tariff } from './tariff.ts'
import { NO_METER } from './testing/meter.ts'
import { testSettings } from './testing/settings.ts'

const PRICES: Tariff = {
  currency: 'USD',
  inputText: 4,
  inputAudio: 32,
  cachedInput: 0.4,
  outputText: 16,
  outputAudio: 64,
  modelMinute: 0,
  carrierMinute: 0,
}

/** One pod with one call on it. */
class Pod {
  readonly clock = new FakeClock(1_000_000 * Math.random())
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly asked: string[] = []
  readonly limits: string[] = []
  readonly ends: { cause: string; sentence: string | undefined }[] = []
  readonly call: Call
  #listener!: ModelListener
  #responses = 0

  constructor(settings: Partial<CallSettings>, initial?: CallState) {
    const meter: CallMeter = { ...NO_METER, count: (what, code) => what === 'limit' && this.limits.push(code ?? '') }
    this.call = new Call(
      {
        callId: 'call_1' as CallId,
        callSid: 'CA1' as CallSid,
        settings: testSettings(settings),
        playout: { leadMs: 200, chunkMs: 60, markEveryMs: 100 },
        mediaWatchdogMs: 100_000_000,
        ...(initial === undefined ? {} : { initial }),
        onEnded: (cause, next) =>
          this.ends.push({ cause, sentence: next.kind === 'hang-up' ? next.sentence : undefined }),
      },
      (listener) => {
        this.#listener = listener
        return this.#model()
      },
      { clock: this.clock, wheel: this.wheel, log: silentLog, meter },
    )
    this.call.start()
  }

  #model(): ModelSession {
    return {
      dial: () => this.#listener.onModelEvent({ kind: 'ready', expiresInMs: undefined, renewed: false }),
      appendAudio() {},
      appendSilence() {},
      callerSeemsLoud() {},
      command: (command) => this.#answer(command),
      interrupted() {},
      carried: () => NEW_AGENT,
      close() {},
    }
  }

  /** Whatever is asked for is said in 400 ms of audio, made at once. */
  #answer(command: ModelCommand): void {
    if (command.kind !== 'respond') return
    this.asked.push(command.instructions ?? '')
    if (!this.speaks) return
    const responseId = `r${++this.#responses}`
    queueMicrotask(() => {
      this.#listener.onModelEvent({ kind: 'response-started', responseId })
      this.#listener.onModelAudio(responseId, `i${responseId}`, Buffer.alloc(400 * 8, 0x55))
      this.#listener.onModelEvent({ kind: 'agent-said', itemId: `i${responseId}`, text: 'words' })
      this.#listener.onModelEvent({ kind: 'audio-ended', itemId: `i${responseId}` })
      this.#listener.onModelEvent({ kind: 'response-ended', responseId, status: 'completed' })
    })
  }

  speaks = true

  /** The model that lasts long says something of `ms` at once. */
  say(ms: number): void {
    const responseId = `r${++this.#responses}`
    this.#listener.onModelEvent({ kind: 'response-started', responseId })
    this.#listener.onModelAudio(responseId, `i${responseId}`, Buffer.alloc(ms * 8, 0x55))
    this.#listener.onModelEvent({ kind: 'response-ended', responseId, status: 'completed' })
  }

  callerSpeaks(): void {
    this.#listener.onModelEvent({ kind: 'speech-started', itemId: 'c' })
    this.#listener.onModelEvent({ kind: 'speech-stopped', itemId: 'c' })
    this.say(400)
  }

  spends(outputAudioTokens: number): void {
    const usage = {
      inputTokens: 0,
      outputTokens: outputAudioTokens,
      inputAudioTokens: 0,
      outputAudioTokens,
      cachedTokens: 0,
    }
    this.#listener.onModelEvent({ kind: 'response-started', responseId: 'spent' })
    this.#listener.onModelEvent({ kind: 'response-ended', responseId: 'spent', status: 'completed', usage })
  }

  open(): this {
    const leg: Leg = {
      streamSid: 'MZ1',
      // The carrier plays at once: all that was sent has been heard.
      sendAudio: (_ulaw, mark) => mark !== undefined && queueMicrotask(() => this.call.onMark(mark)),
      clear() {},
      close() {},
    }
    assert.ok(this.call.attach(leg))
    return this
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left))
      this.wheel.advance()
      await Promise.resolve()
      await Promise.resolve()
    }
  }

  /** Gives the call to another pod, whose wall clock is `skewMs` ahead; `gapMs` pass between them. */
  move(settings: Partial<CallSettings>, how: 'failover' | 'handover', skewMs = 0, gapMs = 0): Pod {
    const reading = readCheckpoint(writeCheckpoint(this.call.checkpoint))
    assert.ok(reading.kind === 'read')
    this.call.relinquish('moved')
    const wallMs = this.clock.wallMs() + gapMs + skewMs
    return new Pod(settings, resumeFrom(reading.state, how, [], wallMs))
  }
}

/** Seconds until `isSo`, at most `maxS`. */
async function secondsUntil(pod: Pod, isSo: () => boolean, maxS: number): Promise<number> {
  for (let s = 0; s < maxS; s += 1) {
    if (isSo()) return s
    await pod.pass(1_000)
  }
  return isSo() ? maxS : Number.POSITIVE_INFINITY
}

const isOver = (pod: Pod) => () => pod.ends.length > 0

suite('the time of a call', () => {
  const settings = { callMaxMs: 100_000, greeting: { kind: 'agent' as const } }

  for (const how of ['handover', 'failover'] as const)
    for (const skewMs of [0, 1_500, -3_600_000])
      test(`[POD-9][S9][CB1][CK4] three ${how}s leave the end of a call where it was, with clocks ${skewMs} ms apart`, async () => {
        let pod = new Pod(settings).open()
        let passedS = 0
        for (let moves = 0; moves < 3; moves += 1) {
          await pod.pass(20_000)
          passedS += 20
          pod = pod.move(settings, how, skewMs).open()
        }
        const leftS = await secondsUntil(pod, isOver(pod), 200)
        assert.deepEqual([pod.ends[0]?.cause, pod.ends[0]?.sentence], ['too-long', undefined])
        assert.ok(passedS + leftS >= 95 && passedS + leftS <= 106, `${passedS + leftS} s`)
      })

  test('[S9][CK4] the time between two pods counts, by a clock that may be wrong by no more than a bound', async () => {
    const times = [
      [0, 0],
      [0, 30_000],
      [50_000, 0],
      [3_600_000, 0],
      [-3_600_000, 30_000],
    ].map(([skewMs = 0, gapMs = 0]) => new Pod({}).open().move({}, 'failover', skewMs, gapMs).call.state.lastedMs)
    assert.deepEqual(times, [0, 30_000, 50_000, GAP_MAX_MS, 0])
    const before = { ...new Pod({}).call.checkpoint, lastedMs: 5_000, atWallMs: 0 }
    assert.equal(
      resumeFrom(before, 'handover', [], 1_800_000_000_000).lastedMs,
      5_000,
      'of a program that said no time',
    )
  })

  test('[MONEY-4][S9][CB3] that the end is near is told once, however often the call moves', async () => {
    const first = new Pod(settings).open()
    await first.pass(81_000)
    assert.deepEqual(first.limits, ['call-time-near'])
    const second = first.move(settings, 'handover').open()
    await second.pass(5_000)
    assert.deepEqual(second.limits, [])
    await second.pass(20_000)
    assert.deepEqual(second.limits, ['call-time-reached'])
  })

  test('[S9] keys that were pressed just before a move are given to the model after it', async () => {
    const first = new Pod({}).open()
    first.call.onDigit('4')
    const second = first.move({}, 'handover').open()
    await second.pass(3_000)
    assert.equal(second.call.state.digits, '')
    assert.equal(second.asked.length, 1)
  })

  test('[MONEY-4][S8][CB3] the agent says goodbye when the time is over; without its words the plane says a sentence', async () => {
    const spoken = new Pod(settings).open()
    await spoken.pass(101_000)
    assert.match(spoken.asked.at(-1)!, /goodbye/)
    await spoken.pass(5_000)
    assert.deepEqual(spoken.ends, [{ cause: 'too-long', sentence: undefined }])
    const mute = new Pod({ ...settings, modelStallMs: 1_000_000, turnMaxMs: 1_000_000 }).open()
    await mute.pass(90_000)
    mute.speaks = false
    await mute.pass(40_000)
    assert.deepEqual(mute.ends, [{ cause: 'too-long', sentence: 'Sorry.' }])
  })
})

suite('the silence of a caller', () => {
  const settings = { silenceAskMs: 20_000, silenceEndMs: 15_000, greeting: { kind: 'agent' as const } }

  test('[END-7][S8][CB2] a caller who says nothing is asked once, then the call ends with a goodbye', async () => {
    const pod = new Pod(settings).open()
    const askedS = await secondsUntil(pod, () => pod.asked.some((words) => words.includes('still there')), 60)
    assert.ok(askedS >= 20 && askedS <= 22, `${askedS} s`)
    const overS = await secondsUntil(pod, isOver(pod), 60)
    assert.ok(overS >= 15 && overS <= 19, `${overS} s`)
    assert.equal(pod.asked.filter((words) => words.includes('still there')).length, 1)
    assert.match(pod.asked.at(-1)!, /goodbye/)
    assert.deepEqual(pod.ends, [{ cause: 'caller-silent', sentence: undefined }])
    assert.deepEqual(pod.limits, ['caller-silent-asked', 'caller-silent-ended'])
  })

  test('[S8][CB2] a caller who speaks or presses a key is not silent, and is asked anew later', async () => {
    const pod = new Pod(settings).open()
    for (let n = 0; n < 6; n += 1) {
      await pod.pass(15_000)
      if (n % 2 === 0) pod.callerSpeaks()
      else pod.call.onDigit('1')
    }
    assert.deepEqual(pod.limits, [])
    await pod.pass(25_000)
    pod.callerSpeaks()
    await pod.pass(25_000)
    assert.deepEqual(pod.limits, ['caller-silent-asked', 'caller-silent-asked'])
    assert.deepEqual(pod.ends, [])
  })

  test('[S8][CB2] what the caller listens to is no silence: it begins when all was heard', async () => {
    const pod = new Pod({ ...settings, greeting: { kind: 'caller-first' } }).open()
    await pod.pass(1_000)
    pod.say(60_000)
    const askedS = await secondsUntil(pod, () => pod.limits.length > 0, 200)
    assert.ok(askedS >= 79 && askedS <= 83, `${askedS} s`)
  })

  test('[POD-9][S9][CB2] a move does not renew the silence of a caller', async () => {
    let pod = new Pod({ ...settings, greeting: { kind: 'caller-first' } }).open()
    await pod.pass(15_000)
    pod = pod.move({ ...settings, greeting: { kind: 'caller-first' } }, 'handover').open()
    const askedS = await secondsUntil(pod, () => pod.limits.length > 0, 60)
    assert.ok(askedS >= 4 && askedS <= 7, `${askedS} s`)
    await pod.pass(2_000)
    pod = pod.move(settings, 'handover').open()
    const overS = await secondsUntil(pod, isOver(pod), 60)
    assert.ok(overS >= 12 && overS <= 18, `${overS} s, asked once`)
    assert.deepEqual(pod.limits, ['caller-silent-ended'])
  })

  test('[CB2] with 0 ms nobody is asked', async () => {
    const pod = new Pod({ ...settings, silenceAskMs: 0 }).open()
    await pod.pass(600_000)
    assert.deepEqual([pod.limits, pod.ends], [[], []])
  })
})

suite('the money of a call', () => {
  test('[POD-9][MONEY-4][S8][CB3] near its budget a call tells so once, at it the agent says goodbye; a move keeps what was spent', async () => {
    const settings = { budget: { amount: 1, prices: PRICES } }
    const first = new Pod(settings).open()
    first.spends(13_000) // 0.83
    await first.pass(11_000)
    assert.deepEqual(first.limits, ['call-money-near'])
    const second = first.move(settings, 'handover').open()
    await second.pass(11_000)
    assert.deepEqual(second.limits, [])
    second.spends(3_000)
    await second.pass(11_000)
    assert.deepEqual(second.limits, ['call-money-reached'])
    assert.match(second.asked.at(-1)!, /goodbye/)
    assert.deepEqual(second.ends, [{ cause: 'over-budget', sentence: undefined }])
  })

  test('[S8][CB3][TF1] a model that is billed by time spends while nobody speaks', async () => {
    const pod = new Pod({ budget: { amount: 1, prices: { ...PRICES, modelMinute: 0.5 } } }).open()
    const overS = await secondsUntil(pod, isOver(pod), 300)
    assert.ok(overS >= 120 && overS <= 130, `${overS} s`)
    assert.deepEqual(pod.limits, ['call-money-near', 'call-money-reached'])
  })

  test('[TF2] a minute of the carrier that was begun is a minute, one of the model is billed by the second', () => {
    const amounts = amountsOf(undefined, 90_000, { ...PRICES, modelMinute: 1, carrierMinute: 1 })
    assert.deepEqual(amounts, { modelAmount: 1.5, carrierAmount: 2 })
  })
})
