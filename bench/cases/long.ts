// One call of three hours in accelerated time: the real call, session and agent over a real socket, on a clock that
// this bench moves. What must be flat is: heap, transcript, timers; what must be whole is: each frame, each renewal.
import { setImmediate as turnOfLoop } from 'node:timers/promises'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { slope } from '../../load/report/statistics.ts'
import { Call } from '../../src/call/call.ts'
import { partyOf } from '../../src/call/identity.ts'
import type { Leg } from '../../src/call/ports.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { FakeClock } from '../../src/kit/clock.ts'
import type { CallId, CallSid } from '../../src/kit/ids.ts'
import { silentLog } from '../../src/kit/log.ts'
import { Wheel } from '../../src/kit/wheel.ts'
import { SettingRefusals } from '../../src/model/openai/refused-fields.ts'
import { Metrics } from '../../src/ops/metrics.ts'
import { noTraces } from '../../src/ops/traces.ts'
import { Watch } from '../../src/ops/watch.ts'
import { makeClinicPack } from '../../src/packs/clinic/clinic.ts'
import { callShape } from '../../src/pod/call-settings.ts'
import { modelMaker } from '../../src/pod/model-maker.ts'
import { openModelPools } from '../../src/pod/model-places.ts'
import { atLeast, atMost, type Bench, type BenchCase, type Check } from '../runner/bench.ts'
import { QuickModel } from '../runner/quick-model.ts'

const HOURS = 3
const TURN_MS = 10_000
const CALLER_MS = 3_000
const ANSWER_MS = 4_000
const TOOL_EVERY_TURNS = 6
const SAMPLE_EVERY_TURNS = 60
const FRAME_MS = 20
const HEAP_SLOPE_MAX_KB_PER_HOUR = 200
const FRAME = Buffer.from(Buffer.alloc(160, 0xff).toString('base64'))

/** The far end: says that a mark was played once its audio has been. */
class FastLeg implements Leg {
  readonly streamSid = `MZ${'0'.repeat(32)}`
  sentBytes = 0
  readonly #clock: FakeClock
  #playedAtMs = 0
  #marks: { name: string; atMs: number }[] = []

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  sendAudio(ulaw: Uint8Array, mark: string | undefined): void {
    this.sentBytes += ulaw.length
    this.#playedAtMs = Math.max(this.#playedAtMs, this.#clock.monotonicMs()) + ulaw.length / 8
    if (mark !== undefined) this.#marks.push({ name: mark, atMs: this.#playedAtMs })
  }

  played(): string[] {
    const now = this.#clock.monotonicMs()
    const done = this.#marks.filter((mark) => mark.atMs <= now)
    this.#marks = this.#marks.slice(done.length)
    return done.map((mark) => mark.name)
  }

  clear(): void {}

  close(): void {}
}

export const long: BenchCase = {
  text: `one call of ${HOURS} hours in accelerated time: heap, transcript and timers stay flat, no frame is lost`,
  run: async (bench) => {
    const model = await QuickModel.start()
    bench.atEnd(() => model.close())
    const reading = readConfig({
      OPENAI_API_KEY: 'accelerated',
      OPENAI_REALTIME_URL: model.url,
      APPEND_COALESCE: 'off',
    })
    if (reading.kind === 'invalid') throw new Error('the bench has a wrong configuration')
    return run(bench, reading.config, model)
  },
}

async function run(bench: Bench, config: Config, model: QuickModel) {
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, onError: (error) => bench.note(String(error)), manual: true })
  const pack = makeClinicPack({ clock, log: silentLog })
  let cause = ''
  const call = await openCall(config, pack, { clock, wheel }, (why) => (cause = why))
  const leg = new FastLeg(clock)
  call.start()
  call.attach(leg)
  await until(() => call.state.model.kind === 'ready', 'the model is ready')
  const turns = (HOURS * 3_600_000) / TURN_MS
  const samples: { hours: number; heapKb: number; items: number; timers: number }[] = []
  let frames = 0
  let timestampMs = 0
  const pass = (ms: number, isMedia: boolean): void => {
    for (let done = 0; done < ms; done += FRAME_MS) {
      if (isMedia) call.onMedia(FRAME, 0, FRAME.length, timestampMs)
      if (isMedia) frames += 1
      timestampMs += FRAME_MS
      clock.advance(FRAME_MS)
      wheel.advance()
      for (const mark of leg.played()) call.onMark(mark)
    }
  }
  for (let turn = 1; turn <= turns && cause === ''; turn += 1) {
    pass(CALLER_MS, true)
    await until(() => call.state.model.kind === 'ready' && !call.state.model.isRenewing, 'a renewal ends')
    const before = model.facts.responses
    model.turn(ANSWER_MS, turn % TOOL_EVERY_TURNS === 0 ? 'get_office_hours' : undefined)
    const owed = turn % TOOL_EVERY_TURNS === 0 ? 2 : 1
    await until(() => model.facts.responses >= before + owed && call.state.response.kind === 'idle', 'the answer ends')
    pass(TURN_MS - CALLER_MS, true)
    await turnOfLoop()
    if (turn % SAMPLE_EVERY_TURNS !== 0) continue
    samples.push({
      hours: (turn * TURN_MS) / 3_600_000,
      heapKb: heapKb(),
      items: call.state.transcript.items.length,
      timers: wheel.size,
    })
    bench.note(`${(turn * TURN_MS) / 60_000} minutes: heap ${(samples.at(-1)!.heapKb / 1024).toFixed(1)} MB`)
  }
  await until(() => model.facts.audioBytes >= frames * 160, 'all audio has arrived').catch(() => undefined)
  const half = samples.slice(Math.floor(samples.length / 2)) // the first half compiles code and fills caps
  const heapSlopeKbPerHour = slope(half.map(({ hours, heapKb: kb }) => ({ x: hours, y: kb })))
  const { dropped } = call.state.transcript
  call.carrierEnded()
  const checks: Check[] = [
    atMost('call ended early', cause === '' || cause === 'caller-hung-up' ? 0 : 1, 0),
    atMost('heap growth, kB per hour', heapSlopeKbPerHour, HEAP_SLOPE_MAX_KB_PER_HOUR),
    atMost('transcript items', Math.max(...samples.map(({ items }) => items)), config.call.transcriptMaxItems),
    atMost('timers at once', Math.max(...samples.map(({ timers }) => timers)), 16),
    atMost('timers after the call', wheel.size, 0),
    atMost('caller bytes lost', frames * 160 - model.facts.audioBytes, 0),
    atLeast('renewals', model.facts.sessions - 1, Math.floor((HOURS * 3_600_000) / config.model.sessionMaxMs)),
    atLeast('tool outputs', model.facts.toolOutputs, Math.floor(turns / TOOL_EVERY_TURNS)),
  ]
  return {
    figures: {
      hours: HOURS,
      heapSlopeKbPerHour,
      heap: samples,
      transcriptDropped: dropped,
      agentBytes: leg.sentBytes,
      ...model.facts,
    },
    samples: { turns, frames, heapSamples: half.length },
    generator: { clock: 'moved by the bench: never late' },
    checks,
  }
}

async function openCall(
  config: Config,
  pack: ReturnType<typeof makeClinicPack>,
  time: { clock: FakeClock; wheel: Wheel },
  onEnded: (cause: string) => void,
): Promise<Call> {
  const ids = { callId: 'call_long' as CallId, callSid: `CA${'0'.repeat(32)}` as CallSid }
  const packCall = await pack.openCall({
    ...ids,
    from: '+15005550006',
    to: '+15005550001',
    direction: 'inbound',
    farParty: partyOf('+15005550006'),
    effectKey: () => 'call_test:1:1',
    endCall: () => ({ kind: 'accepted' }),
    transferCall: () => ({ kind: 'accepted' }),
  })
  const { settingsOf, playout, mediaWatchdogMs } = callShape(config)
  const makeModel = modelMaker(
    config,
    pack,
    openModelPools(config, { ...time, log: silentLog, metrics: new Metrics() }),
    { ...time, liveCalls: () => 1 },
    new SettingRefusals(),
  )
  const meter = new Watch({
    metrics: new Metrics(),
    traces: noTraces,
    clock: time.clock,
    callId: ids.callId,
    onEntry: undefined,
  })
  const options = {
    ...ids,
    settings: { ...settingsOf(packCall), callMaxMs: 24 * 3_600_000 },
    playout,
    mediaWatchdogMs,
  }
  return new Call({ ...options, onEnded }, (listener) => makeModel(listener, packCall, silentLog), {
    ...time,
    log: silentLog,
    meter,
  })
}

async function until(isTrue: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 10_000
  while (!isTrue()) {
    if (performance.now() > giveUpAt) throw new Error(`it did not come about within 10 s that ${what}`)
    await turnOfLoop()
  }
}

/** Living objects, in kB. Compiled code is left out: it belongs to the process and grows as V8 optimises. */
function heapKb(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const objects = getHeapSpaceStatistics().filter(({ space_name: name }) => !/code|trusted|shared|read_only/.test(name))
  return Math.round(objects.reduce((sum, space) => sum + space.space_used_size, 0) / 1024)
}
