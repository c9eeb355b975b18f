// Callers who wait, from the simulated carrier through the webhooks to a call control that is told what to answer.
import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { afterEach, suite, test } from 'node:test'
import { type FastifyInstance, fastify } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import type { TwilioSimOptions } from '../sim/twilio/options.ts'
import { type CallerScript, type CallReport, startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import { openCarrierRest } from '../src/carrier/twilio/rest/rest.ts'
import { twilioWebhooks } from '../src/carrier/twilio/webhooks.ts'
import type { CallSid } from '../src/kit/ids.ts'
import { silentLog } from '../src/kit/log.ts'
import { startWatch, until } from '../src/kit/testing/patience.ts'
import { grant, ToldCallControl, waiting } from './told-call-control.ts'

const ACCOUNT = `AC${'0'.repeat(31)}1`
const TOKEN = '0123456789abcdef0123456789abcdef'
const HUMAN = '+15005550009'
/** A nine-second pause takes 90 ms. */
const TIME_SCALE = 0.01
const WAIT_MAX_MS = 20_000

/** Talks to the agent once it is there, then hangs up. */
const PATIENT: CallerScript = {
  steps: [{ waitForAgent: 'speaking', timeoutMs: WAIT_MAX_MS }, { pauseMs: 60 }, { hangUp: true }],
  maxMs: 15_000,
}
const hangsUpAfter = (ms: number): CallerScript => ({ steps: [{ stayMs: ms }, { hangUp: true }], maxMs: ms + 10_000 })

class Bench {
  readonly callControl = new ToldCallControl()
  /** Paths of the media streams that were opened. */
  readonly streams: string[] = []
  readonly sockets: WebSocket[] = []
  readonly base: string
  readonly carrier: TwilioSim
  /** The addresses that the carrier asked, in order. */
  readonly questions: readonly string[]
  readonly #app: FastifyInstance
  readonly #media: WebSocketServer

  private constructor(
    app: FastifyInstance,
    media: WebSocketServer,
    carrier: TwilioSim,
    base: string,
    callControl: ToldCallControl,
    questions: readonly string[],
  ) {
    this.questions = questions
    this.#app = app
    this.#media = media
    this.carrier = carrier
    this.base = base
    this.callControl = callControl
    media.on('connection', (socket: WebSocket, request: { url?: string }) => this.#speak(socket, request.url ?? ''))
  }

  static async open(more: Partial<TwilioSimOptions> = {}): Promise<Bench> {
    const callControl = new ToldCallControl()
    let base = ''
    const config = {
      http: { publicBaseUrl: 'http://127.0.0.1' },
      twilio: { signatureCheck: 'on' as const, authTokens: [TOKEN], fallbackNumber: undefined },
    }
    const app = fastify({ forceCloseConnections: true })
    const questions: string[] = []
    app.addHook('onRequest', async ({ url }) => void questions.push(url))
    await app.register(twilioWebhooks, { config, callControl, log: silentLog, baseUrl: () => base })
    await app.listen({ host: '127.0.0.1', port: 0 })
    base = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    const media = new WebSocketServer({ noServer: true })
    app.server.on('upgrade', (request, socket, head) =>
      media.handleUpgrade(request, socket, head, (open) => media.emit('connection', open, request)),
    )
    const carrier = await startTwilioSim({
      accountSid: ACCOUNT,
      authToken: TOKEN,
      number: '+15005550001',
      voiceUrl: `${base}/twilio/voice`,
      statusCallback: `${base}/twilio/status`,
      verbTimeScale: TIME_SCALE,
      ...more,
    })
    const bench = new Bench(app, media, carrier, base, callControl, questions)
    benches.push(bench)
    return bench
  }

  call(
    caller: CallerScript,
    more: { faults?: TwilioSimOptions['faults']; voiceUrl?: string } = {},
  ): Promise<CallReport> {
    return this.carrier.placeCall({ caller, ...more }).done
  }

  /** The agent: speaks for half a second as soon as the stream has begun. */
  #speak(socket: WebSocket, path: string): void {
    this.streams.push(path)
    this.sockets.push(socket)
    socket.on('error', () => {})
    socket.on('message', (text) => {
      const message = JSON.parse(String(text)) as { event: string; streamSid?: string }
      if (message.event !== 'start') return
      const payload = Buffer.alloc(4_000, 0x90).toString('base64')
      socket.send(JSON.stringify({ event: 'media', streamSid: message.streamSid, media: { payload } }))
    })
  }

  async until(isTrue: () => boolean): Promise<void> {
    await until(() => `asked so far: ${this.callControl.asked.join(', ')}`, isTrue)
  }

  async close(): Promise<void> {
    await this.carrier.close()
    for (const socket of this.#media.clients) socket.terminate()
    this.#media.close()
    await this.#app.close()
  }
}

const benches: Bench[] = []
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.close()
})

/** Names of the verbs, with the sentences said. */
const verbsOf = ({ verbs }: CallReport) => verbs.map(({ verb, detail }) => (verb === 'Say' ? `Say ${detail}` : verb))

suite('a caller who waits', () => {
  test('[WAIT-1][WQ2] waits through three polls, hears the place when it changed, and is connected', async () => {
    const bench = await Bench.open()
    bench.callControl.places = [waiting(2), waiting(1), waiting(1), grant('pod-7')]
    const report = await bench.call(PATIENT)
    assert.deepEqual(bench.callControl.asked, ['offer', 'wait', 'wait', 'wait', 'wait', 'ended caller-hung-up'])
    const verbs = verbsOf(report)
    assert.match(verbs[0]!, /^Say Alle unsere Leitungen .* 2 Anrufe\. /)
    assert.match(verbs[5]!, /^Say Vor Ihnen wartet noch 1 Anruf\. /)
    const said = verbs.filter((verb) => verb.startsWith('Say')).length
    assert.deepEqual([said, verbs.filter((verb) => verb === 'Pause').length, verbs.at(-1)], [2, 4, 'Connect'])
    assert.deepEqual(
      [report.streams, report.wasDropped, report.scriptTimeouts, report.endCause],
      [1, false, [], 'caller-hung-up'],
    )
    assert.deepEqual(bench.streams, [`/media/pod-7/${report.callSid}/a-token-of-the-test`])
  })

  test('[LN1] after the queue, what follows the stream names the pod that served it', async () => {
    const bench = await Bench.open()
    bench.callControl.places = [grant('pod-7')]
    bench.callControl.steps = [grant('pod-8'), { kind: 'hang-up', sentence: 'Auf Wiederhören.', language: 'de' }]
    const call = bench.call(hangsUpAfter(10_000))
    for (const n of [1, 2]) {
      await bench.until(() => bench.sockets.length === n)
      bench.sockets[n - 1]!.close(1000)
    }
    const report = await call
    assert.deepEqual(
      bench.questions.filter((url) => url.startsWith('/twilio/next')),
      ['/twilio/next?pod=pod-7', '/twilio/next?pod=pod-8'],
    )
    assert.deepEqual([report.streams, report.endCause], [2, 'twiml-hangup'])
    assert.equal(verbsOf(report).at(-2), 'Say Auf Wiederhören.')
  })

  test('hangs up while waiting: call control is told, and nobody asks again', async () => {
    const bench = await Bench.open()
    const report = await bench.call(hangsUpAfter(250))
    assert.deepEqual([report.endCause, report.streams], ['caller-hung-up', 0])
    assert.equal(bench.callControl.asked.at(-1), 'ended caller-hung-up')
    const asked = bench.callControl.asked.length
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.equal(bench.callControl.asked.length, asked)
  })

  test('[WAIT-2][WH7] is not lost when call control does not know for a while', async () => {
    const bench = await Bench.open()
    bench.callControl.places = [new Error('away'), new Error('away'), waiting(1), grant('pod-1')]
    const report = await bench.call(PATIENT)
    assert.deepEqual([report.streams, report.wasDropped, report.endCause], [1, false, 'caller-hung-up'])
    assert.match(verbsOf(report).join(), /Einen Moment bitte/)
  })

  test('[WH8] whose place was lost enters anew and is connected', async () => {
    const bench = await Bench.open()
    bench.callControl.places = [{ kind: 'gone' }, grant('pod-1')]
    const report = await bench.call(PATIENT)
    assert.deepEqual([report.streams, report.endCause], [1, 'caller-hung-up'])
    assert.deepEqual(bench.callControl.asked.slice(0, 4), ['offer', 'wait', 'offer', 'wait'])
  })

  test('[WAIT-3][WQ4] is handed to a human past the bound, and the call ends after that', async () => {
    const bench = await Bench.open({ dial: () => ({ status: 'completed', ms: 50 }) })
    bench.callControl.places = [waiting(2), { kind: 'overflow', to: { kind: 'transfer', number: HUMAN } }]
    const report = await bench.call(hangsUpAfter(8_000))
    assert.deepEqual(report.verbs.find(({ verb }) => verb === 'Dial')?.detail, HUMAN)
    assert.deepEqual([report.endCause, bench.callControl.asked.at(-2)], ['twiml-hangup', 'next answered'])
  })

  test('[WAIT-3][WQ4] hears a sentence in the own language when nothing else is left', async () => {
    const bench = await Bench.open()
    bench.callControl.places = [{ kind: 'overflow', to: { kind: 'hang-up' } }]
    const report = await bench.call(hangsUpAfter(8_000))
    assert.match(verbsOf(report).at(-2)!, /^Say Es tut uns leid/)
    assert.deepEqual([report.endCause, verbsOf(report).at(-1)], ['twiml-hangup', 'Hangup'])
  })
})

suite('what is not a caller’s', () => {
  test('[WH1] a forged question about a waiting call gets 403, and call control hears nothing', async () => {
    const bench = await Bench.open()
    const voiceUrl = `${bench.base}/twilio/wait/CA${'1'.repeat(32)}`
    const report = await bench.call(hangsUpAfter(2_000), { faults: { wrongSignature: 'webhooks' }, voiceUrl })
    assert.deepEqual([report.endCause, report.status], ['webhook-failed', 'failed'])
    const url = `${bench.base}/twilio/wait/CA${'1'.repeat(32)}?said=1`
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const signature of [undefined, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'x'.repeat(500)]) {
      const signed = signature === undefined ? headers : { ...headers, 'x-twilio-signature': signature }
      const body = `CallSid=CA${'1'.repeat(32)}&CallStatus=in-progress`
      assert.equal((await fetch(url, { method: 'POST', headers: signed, body })).status, 403)
    }
    assert.deepEqual(bench.callControl.asked, [])
  })

  test('[WH1] a signed question of one call about another gets 400', async () => {
    const bench = await Bench.open()
    const voiceUrl = `${bench.base}/twilio/wait/CA${'1'.repeat(32)}`
    const report = await bench.call(hangsUpAfter(2_000), { voiceUrl })
    assert.equal(report.endCause, 'webhook-failed')
    assert.deepEqual(bench.callControl.asked, ['ended carrier-lost'])
  })
})

suite('the carrier’s REST', () => {
  test('[RC4] moves a waiting caller on at once, tells how the call stands, and knows when it is over', async () => {
    const bench = await Bench.open({ verbTimeScale: 1 })
    const baseUrl = bench.carrier.restUrl
    const rest = await openCarrierRest({ accountSid: ACCOUNT, authTokens: [TOKEN], baseUrl, log: silentLog })
    const call = bench.carrier.placeCall({ caller: PATIENT })
    const callSid = call.callSid as CallSid
    await bench.until(() => call.status === 'in-progress')
    bench.callControl.places = [grant('pod-3')]
    const watch = startWatch()
    assert.deepEqual(await rest.redirectCall(callSid, `${bench.base}/twilio/wait/${callSid}?said=2&language=de`), {
      kind: 'redirected',
    })
    await bench.until(() => bench.streams.length === 1)
    assert.ok(watch.elapsedMs() < 2_000, 'the caller waited on')
    assert.deepEqual(await rest.callStatus(callSid), { kind: 'known', status: 'in-progress' })
    assert.equal((await call.done).endCause, 'caller-hung-up')
    assert.deepEqual(await rest.callStatus(callSid), { kind: 'known', status: 'completed' })
    assert.deepEqual(await rest.redirectCall(callSid, `${bench.base}/twilio/next`), { kind: 'over' })
    rest.close()
  })

  test('[RC2] a hundred callers are moved on through a carrier that asks for patience', async () => {
    const restRefusals = Array.from({ length: 20 }, () => ({ status: 429, code: 20429 }))
    const bench = await Bench.open({ verbTimeScale: 1, restRefusals })
    const baseUrl = bench.carrier.restUrl
    const rest = await openCarrierRest({ accountSid: ACCOUNT, authTokens: [TOKEN], baseUrl, log: silentLog })
    const calls = Array.from({ length: 100 }, () => bench.carrier.placeCall({ caller: PATIENT }))
    await bench.until(() => calls.every(({ status }) => status === 'in-progress'))
    bench.callControl.places = [grant('pod-3')]
    const moved = await Promise.all(
      calls.map(({ callSid }) => rest.redirectCall(callSid as CallSid, `${bench.base}/twilio/wait/${callSid}`)),
    )
    assert.deepEqual(
      moved.filter(({ kind }) => kind !== 'redirected'),
      [],
    )
    const reports = await Promise.all(calls.map(({ done }) => done))
    assert.deepEqual(
      reports.filter(({ streams, wasDropped }) => streams !== 1 || wasDropped),
      [],
    )
    rest.close()
  })
})
