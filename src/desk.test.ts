// The desk of a pod with a model that is scripted and time that is told: admission, what follows, draining.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import type { Call } from './call/call.ts'
import type { Leg, ModelListener, ModelSession } from './call/ports.ts'
import type { EndCause } from './call/state.ts'
import { makeStreamTokens } from './carrier/twilio/token.ts'
import type { Answer } from './carrier/twilio/webhooks.ts'
import { type Config, readConfig } from './config.ts'
import { callSettings, Desk, NEXT_MAX } from './desk.ts'
import { FakeClock } from './kit/clock.ts'
import type { CallSid } from './kit/ids.ts'
import { silentLog } from './kit/log.ts'
import { Wheel } from './kit/wheel.ts'
import { Metrics } from './ops/metrics.ts'
import { openTraces } from './ops/traces.ts'
import type { CallControl, PackCall } from './packs/pack.ts'

const traces = await openTraces({ endpoint: undefined, pod: 'p', log: silentLog })
const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'x' })

function configOf(env: Record<string, string> = {}): Config {
  const read = readConfig({ SIGNATURE_CHECK: 'off-loopback', ...env })
  if (read.kind === 'invalid') assert.fail(JSON.stringify(read.problems))
  return read.config
}

class Bench {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly metrics = new Metrics()
  readonly controls: CallControl[] = []
  readonly models: ModelListener[] = []
  readonly ended: string[] = []
  openCall: () => PackCall | Promise<PackCall> = () => ({ agent })
  readonly desk: Desk

  constructor(env: Record<string, string> = {}) {
    const pack = {
      name: 'p',
      version: '1',
      openCall: (control: CallControl) => {
        this.controls.push(control)
        return this.openCall()
      },
    }
    const makeModel = (listener: ModelListener): ModelSession => {
      this.models.push(listener)
      return { dial() {}, appendAudio() {}, appendSilence() {}, command() {}, interrupted() {}, close() {} }
    }
    const tokens = makeStreamTokens({ secret: 's'.repeat(32), ttlMs: 60_000 })
    const world = { clock: this.clock, wheel: this.wheel, log: silentLog, metrics: this.metrics, traces }
    this.desk = new Desk({ config: configOf(env), pack, makeModel, tokens, world })
    this.desk.onCallEnded = (call: Call, cause: EndCause) => this.ended.push(`${call.callSid.at(-1)} ${cause}`)
  }
  offer(sid: string): Promise<Answer> {
    const offer = { from: '+1', to: '+2', direction: 'inbound' as const, parameters: {} }
    return Promise.resolve(this.desk.offer({ callSid: sid as CallSid, ...offer }))
  }
  attach(sid: string): unknown {
    const leg: Leg = { streamSid: 'MZ', sendAudio() {}, clear() {}, close() {} }
    return this.desk.attach(sid as CallSid, leg)
  }
  next(sid: string, parameters: Record<string, string> = {}): unknown {
    return this.desk.next(sid as CallSid, parameters)
  }
  run(forMs: number): void {
    this.clock.advance(forMs)
    this.wheel.advance()
  }
}

suite('admission', () => {
  test('[DK1] offers of one call, at once or later, share one answer as long as the call lives', async () => {
    const bench = new Bench()
    const [one, two] = await Promise.all([bench.offer('CA1'), bench.offer('CA1')])
    assert.equal(one, two)
    assert.equal(await bench.offer('CA1'), one)
    assert.equal(bench.controls.length, 1)
    bench.desk.ended('CA1' as CallSid)
    const again = await bench.offer('CA1')
    assert.ok(one.kind === 'stream' && again.kind === 'stream' && again.callId !== one.callId)
  })

  test('[DK2] a full pod refuses a new call, also while others are being opened, and never a live one', async () => {
    const bench = new Bench({ CALLS_MAX: '2' })
    const answers = await Promise.all(['CA1', 'CA2', 'CA3'].map((sid) => bench.offer(sid)))
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['stream', 'stream', 'busy'],
    )
    assert.equal((await bench.offer('CA1')).kind, 'stream')
    bench.desk.ended('CA2' as CallSid)
    assert.equal((await bench.offer('CA3')).kind, 'stream')
  })

  test('[DK2] a pack that cannot open a call frees its place', async () => {
    const bench = new Bench({ CALLS_MAX: '1' })
    bench.openCall = () => Promise.reject(new Error('no'))
    await assert.rejects(bench.offer('CA1'), /no/)
    assert.equal(bench.desk.activeCalls, 0)
    bench.openCall = () => ({ agent })
    assert.equal((await bench.offer('CA1')).kind, 'stream')
  })

  test('[DK4] a stream attaches to its own call, once; a call whose stream never comes is given back', async () => {
    const bench = new Bench()
    await bench.offer('CA1')
    await bench.offer('CA2')
    assert.equal(bench.attach('CA9'), undefined)
    assert.ok(bench.attach('CA1'))
    assert.equal(bench.attach('CA1'), undefined)
    bench.run(30_100)
    assert.ok(bench.ended.includes('2 stream-never-came'))
  })
})

suite('what follows', () => {
  test('[DK3] the carrier’s question ends the call and is answered the same each time', async () => {
    const bench = new Bench()
    await bench.offer('CA1')
    bench.attach('CA1')
    assert.deepEqual(bench.next('CA1'), { kind: 'hang-up' })
    assert.deepEqual(bench.ended, ['1 caller-hung-up'])
    assert.deepEqual(bench.next('CA1'), { kind: 'hang-up' })
    assert.deepEqual(bench.next('CA9'), { kind: 'unknown-call' })
  })

  test('[DK3] a transfer is told until the carrier says that it is over', async () => {
    const bench = new Bench()
    await bench.offer('CA1')
    bench.attach('CA1')
    bench.controls[0]!.transferCall('+49')
    bench.run(10)
    bench.run(200)
    assert.deepEqual(bench.ended, ['1 transferred'])
    assert.equal(bench.desk.unasked, 1)
    assert.deepEqual(bench.next('CA1'), { kind: 'transfer', to: '+49' })
    assert.deepEqual(bench.next('CA1'), { kind: 'transfer', to: '+49' })
    assert.deepEqual(bench.next('CA1', { DialCallStatus: 'completed' }), { kind: 'hang-up' })
    assert.equal(bench.desk.unasked, 0)
  })

  test('[DK3] what follows is remembered for so many calls only', async () => {
    const bench = new Bench()
    for (let i = 0; i < NEXT_MAX + 5; i += 1) {
      await bench.offer(`CA${i}`)
      bench.desk.ended(`CA${i}` as CallSid)
    }
    assert.deepEqual(bench.next('CA4'), { kind: 'unknown-call' })
    assert.deepEqual(bench.next('CA5'), { kind: 'hang-up' })
  })

  test('[DK3] a listener of ended calls that throws disturbs nobody', async () => {
    const bench = new Bench()
    bench.desk.onCallEnded = () => {
      throw new Error('mine')
    }
    await bench.offer('CA1')
    bench.desk.ended('CA1' as CallSid)
    assert.equal(bench.desk.activeCalls, 0)
  })
})

suite('draining', () => {
  test('[DK2] new calls are refused, live ones stay until the deadline, then hear a sentence', async () => {
    const bench = new Bench()
    await bench.offer('CA1')
    await bench.offer('CA2')
    bench.attach('CA1')
    bench.attach('CA2')
    const drained = bench.desk.drain(60_000)
    assert.deepEqual(await bench.offer('CA3'), { kind: 'busy', reason: 'draining' })
    bench.desk.ended('CA1' as CallSid)
    assert.deepEqual(bench.ended, ['1 caller-hung-up'])
    bench.desk.endAll()
    await drained
    assert.deepEqual(bench.ended, ['1 caller-hung-up', '2 drained'])
    const next = bench.next('CA2') as { kind: string; sentence: string }
    assert.ok(next.kind === 'hang-up' && next.sentence.length > 10)
    assert.equal(bench.wheel.size, 0)
  })

  test('[DK2] an idle pod is drained at once; the deadline alone ends the rest', async () => {
    await new Bench().desk.drain(60_000)
    const bench = new Bench()
    await bench.offer('CA1')
    const drained = bench.desk.drain(1_000)
    bench.run(1_010)
    await drained
    assert.deepEqual(bench.ended, ['1 drained'])
  })

  test('[DK2] a call that is being opened does not hold the drain for ever, whether it opens or fails', async () => {
    const failing = new Bench()
    let fail: (error: Error) => void = () => {}
    failing.openCall = () => new Promise((_resolve, reject) => (fail = reject))
    const refused = assert.rejects(failing.offer('CA1'))
    const drained = failing.desk.drain(1_000)
    fail(new Error('no'))
    await Promise.all([refused, drained])

    const late = new Bench()
    let open: (call: PackCall) => void = () => {}
    late.openCall = () => new Promise((resolve) => (open = resolve))
    const offered = late.offer('CA1')
    const lateDrained = late.desk.drain(1_000)
    late.run(1_010)
    open({ agent })
    await Promise.all([offered, lateDrained])
    assert.deepEqual([late.ended, late.wheel.size], [['1 drained'], 0])
  })
})

test('[DK4] the settings of a call follow from the agent’s turn detection and the configuration', () => {
  const of = (turnDetection: unknown) => {
    const config = { audio: { input: { turnDetection } } } as NonNullable<PackCall['config']>
    const { autoRespond, bargeIn } = callSettings(configOf(), { agent, config })
    return [autoRespond, bargeIn]
  }
  assert.deepEqual(of({ type: 'semantic_vad' }), [true, true])
  assert.deepEqual(of({ createResponse: false }), [false, true])
  assert.deepEqual(of({ interruptResponse: false }), [true, false])
  assert.deepEqual(of(null), [false, false])
  assert.deepEqual(callSettings(configOf(), { agent }).greeting, { kind: 'agent' })
})
