// One media stream over a socket that is scripted, and time that is told.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Leg, LegEnd, LegListener } from '../../call/ports.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import type { SocketEnd } from '../../kit/websocket/connection.ts'
import { Wheel } from '../../kit/wheel.ts'
import { MediaStream, PING_MS, START_MAX_MS, STRAY_MAX } from './media-stream.ts'

const CALL = `CA${'1'.repeat(32)}`
const ACCOUNT = `AC${'1'.repeat(32)}`
const SID = `MZ${'a'.repeat(32)}`

/** The socket's side of a stream. */
class FakeSocket {
  readonly sent: string[] = []
  readonly closes: string[] = []
  isOpen = true
  keptAliveMs = 0
  onDestroy: (cause: SocketEnd['cause']) => void = () => {}
  sendText(text: string): void {
    this.sent.push(text)
  }
  sendBase64(prefix: Buffer, bytes: Buffer, suffix: Buffer, next: string): void {
    this.sent.push(`${prefix}${bytes.toString('base64')}${suffix}${next === '' ? '' : '+'}${next}`)
  }
  keepAlive(_wheel: Wheel, everyMs: number): void {
    this.keptAliveMs = everyMs
  }
  close(code = 1000, reason = ''): void {
    if (this.isOpen) this.closes.push(`${code} ${reason}`.trim())
    this.isOpen = false
  }
  destroy(cause: SocketEnd['cause'] = 'lost'): void {
    this.onDestroy(cause)
  }
}

class Bench implements LegListener {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly socket = new FakeSocket()
  readonly told: string[] = []
  readonly ends: LegEnd[] = []
  readonly legs: Leg[] = []
  readonly parameters: Record<string, string>[] = []
  readonly stream: MediaStream
  isWanted = true

  constructor(accountSid?: string) {
    const world = { wheel: this.wheel, log: silentLog, accountSid }
    const onStart = (leg: Leg, parameters: Record<string, string>): LegListener | undefined => {
      this.legs.push(leg)
      this.parameters.push(parameters)
      return this.isWanted ? this : undefined
    }
    this.stream = new MediaStream(CALL, { onStart, onNeverStarted: () => this.told.push('never started') }, world)
    this.stream.bind(this.socket)
    this.socket.onDestroy = (cause) => this.stream.onClosed({ code: 1006, reason: '', cause })
  }
  onMedia(buffer: Buffer, start: number, end: number, timestampMs: number): void {
    this.told.push(`media ${timestampMs} ${buffer.toString('latin1', start, end)}`)
  }
  onMark(name: string): void {
    this.told.push(`mark ${name}`)
  }
  onDigit(digit: string): void {
    this.told.push(`digit ${digit}`)
  }
  onLegEnd(end: LegEnd): void {
    this.ends.push(end)
  }
  say(value: unknown): void {
    const buffer = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
    this.stream.onText(buffer, 0, buffer.length)
  }
  start(more: object = {}): void {
    const start = { streamSid: SID, callSid: CALL, mediaFormat: { encoding: 'audio/x-mulaw' }, ...more }
    this.say({ event: 'start', sequenceNumber: '1', streamSid: SID, start })
  }
  media(atMs: number, sid = SID): void {
    const head = `{"event":"media","sequenceNumber":"2","streamSid":"${sid}","media":{"track":"inbound","chunk":"1",`
    this.say(`${head}"timestamp":"${atMs}","payload":"AAAA"}}`)
  }
  run(forMs: number): void {
    for (let passed = 0; passed < forMs; passed += 1_000) {
      this.clock.advance(Math.min(1_000, forMs - passed))
      this.wheel.advance()
    }
  }
}

suite('the start', () => {
  test('[MS1] a stream that does not start within the bound is closed; its silence is nobody’s end', () => {
    const bench = new Bench()
    bench.say({ event: 'connected' })
    bench.run(START_MAX_MS - 100)
    assert.deepEqual(bench.socket.closes, [])
    bench.run(200)
    assert.deepEqual(bench.socket.closes, ['1008 no start came'])
    assert.deepEqual([bench.legs.length, bench.ends.length, bench.wheel.size], [0, 0, 0])
    bench.start()
    assert.equal(bench.legs.length, 0, 'too late')
  })

  test('[MS1] media before the start is dropped, after it handed on', () => {
    const bench = new Bench()
    bench.media(0)
    bench.start({ customParameters: { token: 't' } })
    bench.media(20)
    assert.deepEqual(bench.told, ['media 20 AAAA'])
    assert.deepEqual(bench.parameters, [{ token: 't' }])
    assert.equal(bench.legs[0]!.streamSid, SID)
  })

  for (const [what, more, reason] of [
    ['another call', { callSid: `CA${'2'.repeat(32)}` }, '1008 start names another call'],
    ['a malformed stream SID', { streamSid: 'MZ"},{"' }, '1008 stream SID is malformed'],
    ['another encoding', { mediaFormat: { encoding: 'audio/opus' } }, '1008 encoding is not mu-law'],
  ] as const)
    test(`[MS2] a start with ${what} closes the stream, and no call hears of it`, () => {
      const bench = new Bench()
      bench.start(more)
      assert.deepEqual(bench.socket.closes, [reason])
      assert.deepEqual([bench.legs.length, bench.ends.length, bench.wheel.size], [0, 0, 0])
    })

  test('[L2] [MS6] a start without its SIDs closes the stream at once, and log and close reason name what it lacks', () => {
    for (const [start, lacking] of [
      [{}, 'streamSid, callSid'],
      [{ streamSid: SID }, 'callSid'],
      [{ callSid: CALL }, 'streamSid'],
      [undefined, 'streamSid, callSid'],
    ] as const) {
      const bench = new Bench()
      bench.say({ event: 'start', start })
      assert.deepEqual(bench.socket.closes, [`1008 start lacks ${lacking}: send start as Twilio does`])
      assert.deepEqual([bench.legs.length, bench.ends.length, bench.wheel.size], [0, 0, 0])
    }
    const all = new Bench(ACCOUNT)
    all.say({ event: 'start' })
    assert.ok(Buffer.byteLength(all.socket.closes[0]!) <= 5 + 123, 'a close reason has 123 bytes')
    assert.match(all.socket.closes[0]!, /streamSid, callSid, accountSid/)
  })

  test('[MS2] with an account configured, a start of another one or of none is refused', () => {
    for (const [accountSid, reason] of [
      [`AC${'2'.repeat(32)}`, '1008 start names another account'],
      ['', '1008 start lacks accountSid: send start as Twilio does'],
      [undefined, '1008 start lacks accountSid: send start as Twilio does'],
    ] as const) {
      const bench = new Bench(ACCOUNT)
      bench.start({ accountSid })
      assert.deepEqual(bench.socket.closes, [reason])
      assert.deepEqual([bench.legs.length, bench.ends.length, bench.wheel.size], [0, 0, 0])
    }
  })

  test('[MS2] with an account configured, its own start is taken; with none, any is', () => {
    for (const [configured, said] of [
      [ACCOUNT, ACCOUNT],
      [undefined, `AC${'2'.repeat(32)}`],
      [undefined, undefined],
    ]) {
      const bench = new Bench(configured)
      bench.start({ accountSid: said })
      assert.deepEqual([bench.legs.length, bench.socket.closes], [1, []])
    }
  })

  test('[MS2] a stream that nobody awaits is closed', () => {
    const bench = new Bench()
    bench.isWanted = false
    bench.start()
    assert.deepEqual(bench.socket.closes, ['1008 nobody awaits this stream'])
    assert.equal(bench.wheel.size, 0)
  })

  test('[MS3] a second start is a stray: the first stream goes on', () => {
    const bench = new Bench()
    bench.start()
    bench.start({ streamSid: `MZ${'b'.repeat(32)}` })
    bench.media(20)
    assert.deepEqual([bench.legs.length, bench.told, bench.socket.closes], [1, ['media 20 AAAA'], []])
  })
})

suite('what comes and goes', () => {
  test('[MS3] what cannot be read, is unknown, binary or of another stream is ignored up to the bound, then closes', () => {
    const strays: ((bench: Bench) => void)[] = [
      (bench) => bench.say('{'),
      (bench) => bench.say({ event: 'new thing' }),
      (bench) => bench.stream.onBinary(),
      (bench) => bench.media(20, `MZ${'b'.repeat(32)}`),
      (bench) => bench.say({ event: 'stop', streamSid: `MZ${'b'.repeat(32)}` }),
    ]
    for (const stray of strays) {
      const bench = new Bench()
      bench.start()
      for (let i = 0; i < STRAY_MAX; i += 1) stray(bench)
      bench.media(40)
      assert.deepEqual([bench.told, bench.socket.closes], [['media 40 AAAA'], []])
      stray(bench)
      assert.deepEqual(bench.socket.closes, ['1008 too many messages that are not ours'])
      assert.deepEqual(bench.ends, [{ cause: 'violation', code: 1008 }])
      bench.media(60)
      assert.equal(bench.told.length, 1)
      assert.equal(bench.wheel.size, 0)
    }
  })

  test('[MW1] media in an unusual shape, marks and digits reach the call', () => {
    const bench = new Bench()
    bench.start()
    bench.say({ media: { payload: 'AA==', timestamp: 40 }, streamSid: SID, event: 'media' })
    bench.say({ event: 'mark', streamSid: SID, mark: { name: 'vp:0:1' } })
    bench.say({ event: 'dtmf', streamSid: SID, dtmf: { digit: '5' } })
    assert.deepEqual(bench.told, ['media 40 AA==', 'mark vp:0:1', 'digit 5'])
  })

  test('[MS1] the hot way takes nothing before the start and nothing but media', () => {
    const bench = new Bench()
    const mark = Buffer.from(JSON.stringify({ event: 'mark', streamSid: SID, mark: { name: 'm' } }))
    assert.equal(bench.stream.onAscii(mark, 0, mark.length), false)
    bench.start()
    assert.equal(bench.stream.onAscii(mark, 0, mark.length), false)
    assert.deepEqual(bench.told, [])
  })

  test('[MS4] audio and mark are one write; clear is its own', () => {
    const bench = new Bench()
    bench.start()
    const leg = bench.legs[0]!
    leg.sendAudio(Buffer.alloc(3, 255), undefined)
    leg.sendAudio(Buffer.alloc(3, 255), 'vp:0:1')
    leg.clear()
    const media = `{"event":"media","streamSid":"${SID}","media":{"payload":"////"}}`
    assert.deepEqual(bench.socket.sent, [
      media,
      `${media}+{"event":"mark","streamSid":"${SID}","mark":{"name":"vp:0:1"}}`,
      `{"event":"clear","streamSid":"${SID}"}`,
    ])
  })
})

suite('the end', () => {
  const causes: [string, (bench: Bench) => void, LegEnd][] = [
    ['stop', (bench) => bench.say({ event: 'stop', streamSid: SID }), { cause: 'stop', code: 1000 }],
    ['close', (b) => b.stream.onClosed({ code: 1001, reason: '', cause: 'closed' }), { cause: 'closed', code: 1001 }],
    ['loss', (b) => b.stream.onClosed({ code: 1006, reason: '', cause: 'lost' }), { cause: 'lost', code: 1006 }],
  ]
  for (const [what, end, want] of causes)
    test(`[MS4] ${what} is told once, whatever follows it`, () => {
      const bench = new Bench()
      bench.start()
      end(bench)
      for (const [, again] of causes) again(bench)
      bench.stream.close('late')
      bench.media(20)
      assert.deepEqual(bench.ends, [want])
      assert.deepEqual([bench.told, bench.wheel.size], [[], 0])
    })

  test('[MS4] a close of ours is not told to the one who asked for it', () => {
    const bench = new Bench()
    bench.start()
    bench.stream.close('agent-ended')
    bench.stream.onClosed({ code: 1000, reason: '', cause: 'closed' })
    bench.media(20)
    assert.deepEqual([bench.ends, bench.told, bench.socket.closes, bench.wheel.size], [[], [], ['1000'], 0])
  })

  test('[MS5] the socket is kept alive from the start on; its death is the end of the stream', () => {
    const bench = new Bench()
    assert.equal(bench.socket.keptAliveMs, 0)
    bench.start()
    assert.equal(bench.socket.keptAliveMs, PING_MS)
    bench.socket.destroy('dead')
    assert.deepEqual(bench.ends, [{ cause: 'dead', code: 1006 }])
    assert.equal(bench.wheel.size, 0)
  })
})
