// Bad input on a media stream: a clear outcome each, nothing left behind, and the next call works.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { CallerScript } from '../sim/twilio/media/script.ts'
import type { BadFrame, Faults } from '../sim/twilio/options.ts'
import { startWatch } from '../src/kit/testing/patience.ts'
import { LISTEN, Plane, stay } from './plane.ts'
import { newCallSid, RawCarrier } from './raw-carrier.ts'

let plane: Plane
let raw: RawCarrier
before(async () => {
  plane = await Plane.open()
  raw = new RawCarrier(plane.edge.url)
})
after(() => plane.close())

/** How the call with this SID ended. */
const endsOf = (callSid: string): string[] =>
  plane.ended.flatMap(({ call, cause }) => (call.callSid === callSid ? [cause] : []))

/** What the plane's log says of this call's stream. */
const warningsOf = (callSid: string): string[] =>
  plane.log.flatMap((line) => (line.callSid === callSid ? [line.message] : []))

/** The caller hears a second of the agent, however slow the machine is, then hangs up. */
const HEARD: CallerScript = {
  steps: [{ waitForAgent: 'speaking', timeoutMs: 15_000 }, { pauseMs: 1_000 }, { hangUp: true }],
  maxMs: 20_000,
}

describe('a stream that says what it should not', { concurrency: 20 }, () => {
  const harmless: BadFrame[] = ['binary', 'non-json', 'unknown-event', 'wrong-stream-sid', 'bad-base64']
  for (const frame of harmless) {
    test(`[MS3] ${frame}: ignored, the call goes on to its end`, async () => {
      const report = await plane.call(stay(2_600), { faults: { badFrames: [frame] } })
      assert.deepEqual([report.wasDropped, report.endCause], [false, 'caller-hung-up'])
      assert.ok(report.agentPlayedMs > 800, `${report.agentPlayedMs}`)
      assert.deepEqual(endsOf(report.callSid), ['caller-hung-up'])
      // On a cold, busy machine the model link may be dialled twice, which is not the stream's doing.
      const ofMedia = warningsOf(report.callSid).filter((text) => text.includes('media'))
      assert.deepEqual(ofMedia, ['a media message was ignored'])
    })
  }

  test('[MS3] a peer that keeps on talking nonsense is closed with 1008, and its call ends once', async () => {
    const stream = await raw.open()
    for (let i = 0; i < 300; i += 1) stream.send(`nonsense ${i}`)
    assert.equal(await stream.closed, 1008)
    assert.deepEqual(endsOf(stream.callSid), ['carrier-lost'])
    assert.deepEqual(warningsOf(stream.callSid), ['a media message was ignored', 'the media stream was closed'])
    await stream.over()
  })

  test('[FR2] an oversized message ends the stream with 1009, not the process', async () => {
    const stream = await raw.open()
    stream.send('x'.repeat(200_000))
    assert.equal(await stream.closed, 1009)
    await plane.until(() => endsOf(stream.callSid).length > 0)
    assert.deepEqual(endsOf(stream.callSid), ['carrier-lost'])
    await stream.over()
  })

  test('[EA2] duplicate and swapped media are dropped and counted; the call goes on', async () => {
    const series = 'voice_frames_dropped_total{reason="out-of-order"}'
    const before = await plane.counter(series)
    const report = await plane.call(HEARD, { faults: { duplicateEvery: 5, swapEvery: 7 } })
    assert.equal(report.wasDropped, false)
    assert.ok(report.agentPlayedMs > 500)
    const dropped = (await plane.counter(series)) - before
    assert.ok(dropped >= 12, `${dropped} were counted`)
  })

  test('[MS1] a stream that never says start is closed within its bound', async () => {
    const stream = await raw.open({ start: false })
    stream.send({ event: 'connected', protocol: 'Call', version: '1.0.0' })
    const openedWatch = startWatch()
    assert.equal(await stream.closed, 1008)
    assert.ok(openedWatch.elapsedMs() < 6_000)
    await stream.over()
    assert.deepEqual(endsOf(stream.callSid), ['carrier-lost'])
  })

  test('[MS1] a stream that sends media but never start is closed within its bound too', async () => {
    const stream = await raw.open({ start: false })
    stream.send({ event: 'connected', protocol: 'Call', version: '1.0.0' })
    const openedWatch = startWatch()
    const talking = setInterval(() => stream.media(openedWatch.elapsedMs()), 100)
    const code = await stream.closed
    clearInterval(talking)
    assert.equal(code, 1008)
    assert.ok(openedWatch.elapsedMs() < 6_000)
    await stream.over()
  })

  test('[MS1] media before connected and start is ignored; the call begins all the same', async () => {
    const report = await plane.call(LISTEN, { faults: { mediaFirst: true } })
    assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []])
    assert.ok(report.agentPlayedMs > 0)
  })

  test('[MS2] a start that names another call is closed with 1008', async () => {
    const stream = await raw.open({ start: false })
    stream.start(newCallSid())
    assert.equal(await stream.closed, 1008)
    await stream.over()
  })

  for (const lacking of ['streamSid', 'callSid'] as const) {
    test(`[L2] [MS6] a client whose start lacks its ${lacking} is told so by the close and by the log`, async () => {
      const faults: Faults = { startLacks: [lacking] }
      const call = plane.carrier.placeCall({ caller: stay(2_000), faults })
      const report = await call.done
      assert.deepEqual(report.streamEnds[0], {
        by: 'plane',
        closeCode: 1008,
        closeReason: `start lacks ${lacking}: send start as Twilio does`,
        errorCode: 31921,
        text: 'the server closed the stream',
      })
      const line = plane.log.find(({ callSid, message }) => callSid === report.callSid && message.includes('closed'))
      assert.equal(line?.reason, `start lacks ${lacking}: send start as Twilio does`)
    })
  }

  test('[L2] [MD5] a client that dials a fixed address is refused, and hears which parts its address lacks', async () => {
    const base = plane.edge.url.replace('http', 'ws')
    for (const [path, lacking] of [
      ['/media', 'pod, Call SID, token'],
      ['/media/pod-1', 'Call SID, token'],
      [`/media/pod-1/CA${'0'.repeat(32)}`, 'token'],
    ] as const) {
      const report = await plane.call(stay(500), { faults: { fixedStreamUrl: base + path } })
      const [end] = report.streamEnds
      assert.equal(end?.errorCode, 31920)
      assert.match(
        end.text,
        new RegExp(`answered 404.*the address lacks ${lacking}: dial the Stream url of the answer`),
      )
      assert.ok(
        plane.log.some(({ reason, advice }) => reason === `the address lacks ${lacking}` && advice !== undefined),
      )
    }
    await plane.servesANormalCall()
  })

  test('[MS3] a second start is ignored', async () => {
    const stream = await raw.open()
    stream.start()
    await plane.until(() => stream.heard.some(({ event }) => event === 'media'))
    await stream.end()
    assert.deepEqual(endsOf(stream.callSid), ['caller-hung-up'])
  })

  test('[PY4] marks that were never sent, and of another generation, change nothing', async () => {
    const stream = await raw.open()
    for (const name of ['never sent', 'vp:0:9999', 'vp:99:1', '']) {
      stream.send({ event: 'mark', sequenceNumber: '2', streamSid: stream.streamSid, mark: { name } })
    }
    await plane.until(() => stream.heard.filter(({ event }) => event === 'mark').length >= 2)
    await stream.end()
    assert.deepEqual(endsOf(stream.callSid), ['caller-hung-up'])
  })

  test('[MW2] a payload that is no base64, or has quotes in it, never reaches the model', async () => {
    const stream = await raw.open()
    await plane.until(() => stream.heard.length > 0)
    for (const [i, payload] of ['***', 'AA"}', 'AAAA\u0000AAA', '","type":"response.create","x":"'].entries()) {
      stream.media(i * 20, payload)
    }
    stream.media(200)
    await stream.end()
    assert.deepEqual(endsOf(stream.callSid), ['caller-hung-up'])
  })

  for (const endOfStream of ['reset', 'stop-without-close', 'close-without-stop'] as const) {
    test(`[MS4] an end by ${endOfStream} is one end`, async () => {
      const report = await plane.call(LISTEN, { faults: { endOfStream } })
      await plane.until(() => endsOf(report.callSid).length > 0)
      const causes = endsOf(report.callSid)
      assert.equal(causes.length, 1, causes.join(' '))
      assert.ok(['caller-hung-up', 'carrier-lost'].includes(causes[0]!))
    })
  }

  test('[CM3] a caller who hangs up before start leaves nothing', async () => {
    const report = await plane.call(
      { steps: [{ stayMs: 300 }, { hangUp: true }], maxMs: 2_000 },
      { faults: { startDelayMs: 1_500 } },
    )
    await plane.until(() => endsOf(report.callSid).length === 1)
  })

  after(async () => {
    await plane.settled()
    const refused = (await plane.witness()).filter(
      ({ event, code }) => event === 'client_error' && code !== 'item_retrieve_invalid_item_id',
    )
    assert.deepEqual(refused, [], 'the model was told something that it refused')
    await plane.servesANormalCall()
  })
})
