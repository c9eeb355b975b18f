// The carrier's callbacks over real HTTP with real signatures, to a pod: what is malformed, late, early, doubled or about nobody.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { type FastifyInstance, fastify } from 'fastify'
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js'
import { twilioWebhooks } from '../carrier/twilio/webhooks.ts'
import { readConfig } from '../config.ts'
import { silentLog } from '../kit/log.ts'
import { startWatch, until } from '../kit/testing/patience.ts'
import { closeRigs, ground, OVER_LOOKS_MS, type Rig, sid, start, wait } from './testing/rig.ts'

const TOKEN = '12345678901234567890123456789012'
const BASE = 'https://voice.example.test'
const RECORDING = `RE${'a'.repeat(32)}`
const RECORDED = {
  RecordingSid: RECORDING,
  RecordingUrl: `https://api.example.test/Recordings/${RECORDING}`,
  RecordingStatus: 'completed',
  RecordingDuration: '61',
}

let shared: Awaited<ReturnType<typeof ground>>
let rig: Rig
let app: FastifyInstance
beforeEach(async () => {
  shared = await ground()
  rig = await start('pod-a', shared)
  const read = readConfig({ PUBLIC_BASE_URL: BASE, TWILIO_AUTH_TOKEN: TOKEN })
  assert.ok(read.kind === 'ok')
  app = fastify()
  await app.register(twilioWebhooks, { config: read.config, callControl: rig.pod.callControl, log: silentLog })
})
afterEach(async () => {
  await app.close()
  await closeRigs()
})

/** The status of the answer; signed as the carrier signs unless `isSigned` is false. */
async function post(path: string, fields: Record<string, string>, isSigned = true): Promise<number> {
  const signature = isSigned ? getExpectedTwilioSignature(TOKEN, BASE + path, fields) : 'A'.repeat(28)
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': signature }
  const payload = new URLSearchParams(fields).toString()
  return (await app.inject({ method: 'POST', url: path, payload, headers })).statusCode
}

const status = (callSid: string, CallStatus: string, more: Record<string, string> = {}): Promise<number> =>
  post('/twilio/status', { CallSid: callSid, CallStatus, ...more })
const ends = (): [string, number][] => [...rig.metrics.carrierEnds.entries()]
/** A live call of a pod that will not be heard of. */
async function lostCall(n: number): Promise<void> {
  const call = { tenant: 't', from: '+1', to: '+2', direction: 'inbound' as const, pack: 'p', packVersion: '1' }
  const ids = { callId: `call_${n}` as never, callSid: sid(n), epoch: 1, pod: 'pod-z', pool: 'default' }
  await shared.records.open({ ...call, ...ids })
}

suite('the status callback', () => {
  test('[WH1] without a Call SID, with one of another form, forged, or beyond any size: 400, 403, 413, and nothing is looked for', async () => {
    const find = shared.records.find.bind(shared.records)
    let finds = 0
    shared.records.find = (callSid) => {
      finds += 1
      return find(callSid)
    }
    assert.equal(await post('/twilio/status', { CallStatus: 'completed' }), 400)
    for (const callSid of [
      '',
      'CA1',
      'CA',
      sid(1).replace(/.$/, 'G'),
      `${sid(1)}0`,
      `CB${sid(1).slice(2)}`,
      "CA' or 1=1",
    ])
      assert.equal(await status(callSid, 'completed'), 400, callSid)
    assert.equal(await post('/twilio/status', { CallSid: sid(1), CallStatus: 'completed' }, false), 403)
    assert.equal(await status(sid(1), 'completed', { Absurd: 'x'.repeat(70_000) }), 413)
    await wait(OVER_LOOKS_MS[0]! + 50)
    assert.deepEqual([finds, ends()], [0, []])
  })

  test('[EG6] of a call that nobody knows is answered 200, counted, and makes no row', async () => {
    assert.equal(await status(sid(9), 'completed'), 200)
    await until('the look', () => ends().length === 1)
    assert.deepEqual(ends(), [['unknown', 1]])
    assert.equal(await shared.records.find(sid(9)), undefined)
  })

  test('[DK6] is answered while the records do not answer at all', async () => {
    await lostCall(1)
    shared.records.find = () => new Promise(() => {})
    const watch = startWatch()
    assert.equal(await status(sid(1), 'completed'), 200)
    assert.ok(watch.elapsedMs() < 300, 'nobody waited for the records')
  })

  test('[RR4] with a time in the future ends the call now, by the clock of the records', async () => {
    await lostCall(1)
    const Timestamp = 'Tue, 01 Jan 2999 00:00:00 +0000'
    assert.equal(
      await status(sid(1), 'completed', { Timestamp, CallDuration: '99999999999', SequenceNumber: '-4' }),
      200,
    )
    await until('the end', () => ends().length === 1 && rig.pod.finalizer.pendingCount === 0)
    const row = await shared.records.find(sid(1))
    assert.ok(Math.abs(row!.endedAtMs! - Date.now()) < 5_000)
  })

  test('[EG6] twenty times at once, and again later, writes one end', async () => {
    await lostCall(1)
    let written = 0
    const end = shared.records.end.bind(shared.records)
    shared.records.end = (request) => {
      written += 1
      return end(request)
    }
    await Promise.all(Array.from({ length: 20 }, () => status(sid(1), 'completed')))
    await until('the end', () => ends().length === 1 && rig.pod.finalizer.pendingCount === 0)
    const { endedAtMs } = (await shared.records.find(sid(1)))!
    assert.equal(await status(sid(1), 'failed'), 200)
    await until('the look', () => ends().length === 2)
    const row = await shared.records.find(sid(1))
    assert.deepEqual([written, row?.endedAtMs, row?.cause], [1, endedAtMs, 'caller-hung-up'])
  })

  test('[RR4] that the call is in progress, told after its end, brings nothing back; words before the end are no end', async () => {
    await lostCall(1)
    for (const word of ['queued', 'initiated', 'ringing', 'in-progress', 'absurd', '']) {
      assert.equal(await status(sid(1), word), 200)
    }
    await wait(OVER_LOOKS_MS[0]! + 100)
    assert.deepEqual([ends(), (await shared.records.find(sid(1)))?.state], [[], 'live'])
    await status(sid(1), 'completed', { SequenceNumber: '3' })
    await status(sid(1), 'in-progress', { SequenceNumber: '2' })
    await until('the end', () => ends().length === 1 && rig.pod.finalizer.pendingCount === 0)
    assert.equal((await shared.records.find(sid(1)))?.state, 'ended')
    await status(sid(1), 'ringing', { SequenceNumber: '1' })
    assert.equal((await shared.records.find(sid(1)))?.state, 'ended')
  })
})

suite('the recording callback', () => {
  const recorded = (more: Record<string, string> = {}): Promise<number> =>
    post('/twilio/recording', { CallSid: sid(1), ...RECORDED, ...more })

  test('[WH9][EG7] hands over where the recording lies, and fetches nothing', async () => {
    assert.equal(await recorded(), 200)
    await until('it is told', () => shared.recorded.length === 1)
    const body = { recordingSid: RECORDING, recordingUrl: RECORDED.RecordingUrl, durationMs: 61_000 }
    assert.deepEqual(shared.recorded, [[sid(1), body]])
  })

  test('[WH9] that is not completed is thanked for; what cannot be read is refused; neither is handed over', async () => {
    for (const RecordingStatus of ['in-progress', 'absent', 'failed', ''])
      assert.equal(await recorded({ RecordingStatus }), 200)
    for (const more of [
      { RecordingSid: '' },
      { RecordingSid: 'RE1' },
      { RecordingSid: sid(1) },
      { RecordingUrl: '' },
      { RecordingUrl: 'file:///etc/passwd' },
      { RecordingUrl: 'https://' },
      { RecordingUrl: `https://api.example.test/${'x'.repeat(2_000)}` },
      { RecordingDuration: '-1' },
      { RecordingDuration: '9'.repeat(40) },
      { CallSid: 'CA1' },
    ] as Record<string, string>[])
      assert.equal(await recorded(more), 400, JSON.stringify(more))
    assert.equal(await post('/twilio/recording', { CallSid: sid(1), ...RECORDED }, false), 403)
    await wait(50)
    assert.deepEqual(shared.recorded, [])
  })

  test('[EG7] is answered while the store of the work does not answer', async () => {
    shared.recordings.addRecording = () => new Promise(() => {})
    const watch = startWatch()
    assert.equal(await recorded(), 200)
    assert.ok(watch.elapsedMs() < 300)
  })
})
