// Callers who wait too long, from the simulated carrier to the operator's receiver: messages, and call-backs that are made once.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { type OpenAiSim, startOpenAiSim } from '../../sim/openai/sim.ts'
import type { OutboundAnswer, PlaceCallOptions, TwilioSimOptions } from '../../sim/twilio/options.ts'
import { type CallReport, startTwilioSim, type TwilioSim } from '../../sim/twilio/sim.ts'
import { readConfig } from '../../src/config.ts'
import { type Edge, startEdge } from '../../src/edge.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { until } from '../../src/kit/testing/patience.ts'
import { makeClinicPack } from '../../src/packs/clinic/clinic.ts'
import { type Embedded, openEmbedded } from '../../src/pod/embedded/embedded.ts'
import type { CallBackTimes } from '../../src/work/jobs/call-back.ts'
import { ModelRelay } from '../model-relay.ts'
import { ADMIN_TOKEN, keepingLog, LISTEN, type LogLine, stay, TOKEN } from '../plane.ts'
import { fractionalMs } from './fractional-ms.ts'

const PUBLIC = 'https://plane.example.test'
const OURS = '+15005550001'
const CALLS_FROM = '+15005550002'
const PERSON = '+15005550066'
const folder = mkdtempSync(join(tmpdir(), 'voiceplane-overflow-'))
after(() => rmSync(folder, { recursive: true, force: true }))

type Told = { event: string; key: string; data: Record<string, unknown> }
type House = {
  carrier: TwilioSim
  edge: Edge
  embedded: Embedded
  told: Told[]
  relay: ModelRelay
  lines: LogLine[]
  /** Calls that the carrier made for us: to, and when. */
  dialled: string[]
}

let houses = 0

/** One pod with one place, its worker and its receiver, where a caller waits a second at most. */
async function house(
  of: {
    overflow: 'voicemail' | 'call-back'
    env?: Record<string, string>
    carrier?: Partial<TwilioSimOptions>
    answer?: (n: number) => OutboundAnswer
    times?: Partial<CallBackTimes>
  },
  journey: (house: House) => Promise<void>,
): Promise<void> {
  houses += 1
  const told: Told[] = []
  const receiver = await receive(told)
  const model: OpenAiSim = await startOpenAiSim({ thinkMs: 50 })
  const relay = await ModelRelay.open(model.url)
  const rewrites: Record<string, string> = {}
  const dialled: string[] = []
  const carrier = await startTwilioSim({
    accountSid: `AC${'0'.repeat(31)}1`,
    authToken: TOKEN,
    number: OURS,
    voiceUrl: `${PUBLIC}/twilio/voice`,
    statusCallback: `${PUBLIC}/twilio/status`,
    httpUrlRewrite: rewrites,
    wsUrlRewrite: rewrites,
    verbTimeScale: 0.02,
    outbound: (to) => {
      dialled.push(to)
      return of.answer?.(dialled.length) ?? { kind: 'answers', ringMs: 50, caller: LISTEN }
    },
    ...of.carrier,
  })
  const reading = readConfig({
    ...{ PORT: '0', PUBLIC_BASE_URL: PUBLIC, STREAM_TOKEN_SECRET: 's'.repeat(32), ADMIN_TOKEN },
    ...{ OPENAI_REALTIME_URL: relay.url, OPENAI_API_KEY: 'a-key-for-tests', WORK_POLL_MS: '20' },
    ...{ TWILIO_AUTH_TOKEN: TOKEN, TWILIO_ACCOUNT_SID: `AC${'0'.repeat(31)}1`, TWILIO_API_BASE_URL: carrier.restUrl },
    ...{
      CALLS_MAX: '1',
      QUEUE_MAX: '10',
      QUEUE_WAIT_MAX_MS: '1000',
      QUEUE_OVERFLOW: of.overflow,
      CALLER_LANGUAGE: 'de',
    },
    ...{ CALLBACK_FROM: CALLS_FROM, TRANSFER_ALLOW: '+1500', DATA_DIR: join(folder, String(houses)) },
    ...{ CRM_WEBHOOK_URL: receiver.url, CRM_WEBHOOK_SECRET: 'a-secret-of-the-tests', CRM_ALLOW_PRIVATE: 'on' },
    ...{ ANALYSIS: 'rules' },
    ...of.env,
  })
  if (reading.kind === 'invalid') assert.fail(JSON.stringify(reading.problems))
  const { config } = reading
  const lines: LogLine[] = []
  const log = keepingLog(lines)
  const embedded = await openEmbedded(config, log, {}, { roomMs: 100, lookMs: 50, ...of.times })
  // Two pods would share the queue; a pod alone has none when it is full.
  const stores = { ...embedded.stores, isAlone: false }
  const pack = makeClinicPack({ clock: systemClock, log })
  const edge = await startEdge({ config, pack, log, stores, alsoServe: embedded.alsoServe })
  rewrites[PUBLIC] = edge.url
  rewrites[PUBLIC.replace('https', 'wss')] = edge.url.replace('http', 'ws')
  try {
    await journey({ carrier, edge, embedded, told, relay, lines, dialled })
    assert.deepEqual(fractionalMs(told), [], 'the receiver was told of parts of milliseconds')
  } finally {
    await carrier.close()
    await edge.close()
    await embedded.close()
    await relay.close()
    await model.close()
    receiver.server.closeAllConnections()
    receiver.server.close()
  }
}

/** The operator's receiver: it keeps what bears a signature and a key, each key once. */
async function receive(told: Told[]): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (piece: Buffer) => {
      text += piece.toString()
    })
    request.on('end', () => {
      const key = request.headers['idempotency-key']
      assert.match(String(request.headers['x-voiceplane-signature']), /^t=\d+,v1=[0-9a-f]{64}$/)
      if (!told.some((one) => one.key === key)) told.push(JSON.parse(text) as Told)
      response.writeHead(200).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/crm` }
}

const ask = async (edge: Edge, path: string): Promise<Record<string, unknown>> => {
  const answer = await fetch(edge.url + path, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } })
  const found = (await answer.json()) as Record<string, unknown>
  assert.deepEqual(fractionalMs(found), [], `${path} has parts of milliseconds`)
  return found
}

/** Somebody has the one place; somebody else waits, and is offered something. Both calls are over then. */
async function overflowed({ carrier, edge }: House, waits: Partial<PlaceCallOptions>): Promise<CallReport> {
  const first = carrier.placeCall({ caller: stay(60_000) })
  await until('the place is taken', () => edge.pod.calls.size === 1)
  const report = await carrier.placeCall({ from: PERSON, caller: stay(30_000), ...waits }).done
  first.hangUp()
  await first.done
  return report
}

const saidIn = (report: CallReport): string =>
  report.verbs.flatMap(({ verb, detail }) => (verb === 'Say' ? [detail] : [])).join(' ')

suite('a caller who waited too long', { concurrency: 1 }, () => {
  for (const [end, from] of [
    ['key', PERSON],
    ['hang-up', PERSON],
    ['vanish', ''],
  ] as const)
    test(`[WAIT-4][P29][P83][OVF4] leaves a message, ended by ${end}: the receiver is told once, and operators find it`, async () => {
      await house({ overflow: 'voicemail' }, async (home) => {
        const report = await overflowed(home, { message: { seconds: 7, end } })
        assert.match(saidIn(report), /Signalton/)
        await until('the receiver is told', () => home.told.some(({ event }) => event === 'voicemail.left'))
        const { items } = (await ask(home.edge, '/admin/voicemails')) as { items: Record<string, unknown>[] }
        const [item] = items
        const messages = home.told.filter(({ event }) => event === 'voicemail.left')
        assert.deepEqual([items.length, messages.length], [1, 1])
        const { data, key } = messages[0]!
        const seen = [data.callSid, data.from, data.language, data.durationMs]
        assert.deepEqual(seen, [report.callSid, from, 'de', 7_000])
        assert.match(String(data.recordingSid), /^RE[0-9a-f]{32}$/)
        assert.equal(key, `${String(data.callId)}:voicemail:1`)
        assert.deepEqual([item!.callSid, item!.recordingSid], [report.callSid, data.recordingSid])
        assert.ok(!JSON.stringify(items).includes(PERSON), 'a list holds no number')
        const record = await ask(home.edge, `/admin/calls/${report.callSid}`)
        assert.deepEqual([record.from, record.cause], [from, 'queue-overflow'])
        const refused = await fetch(`${home.edge.url}/admin/voicemails`)
        assert.equal(refused.status, 401)
      })
    })

  test('[P29] a message is erased with its caller', async () => {
    const keys = { DATA_KEYS: `k1:${Buffer.alloc(32, 7).toString('base64')}` }
    await house({ overflow: 'voicemail', env: keys }, async (home) => {
      await overflowed(home, { message: { seconds: 3, end: 'key' } })
      await until('it is told', () => home.told.some(({ event }) => event === 'voicemail.left'))
      const answer = await fetch(`${home.edge.url}/admin/erasures`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ tenant: 'default', from: PERSON }),
      })
      assert.equal(((await answer.json()) as { calls: number }).calls, 1)
      assert.deepEqual((await ask(home.edge, '/admin/voicemails')).items, [])
    })
  })

  test('[WAIT-5][P30] presses 1, is called back once, and talks to an agent who knows why', async () => {
    await house({ overflow: 'call-back' }, async (home) => {
      const report = await overflowed(home, { presses: '1' })
      assert.match(saidIn(report), /Wir rufen Sie zurück/)
      await until('the person is called', () => home.dialled.length === 1)
      const isTold = () => home.relay.sessions.some((one) => JSON.stringify(one).includes('calling this person back'))
      await until('the agent knows', isTold)
      await until('the item is done', async () =>
        ((await ask(home.edge, '/admin/work?state=done')).items as { type: string }[]).some(
          ({ type }) => type === 'call-back',
        ),
      )
      await until('the call of the call-back is recorded', () =>
        home.told.some(
          ({ event, data }) => event === 'call.ended' && data.direction === 'outbound' && data.to === PERSON,
        ),
      )
      assert.deepEqual(home.dialled, [PERSON])
    })
  })

  test('[WAIT-6][P30][OVF2] who asks twice is called once; who withholds the number is offered nothing', async () => {
    await house(
      { overflow: 'call-back', answer: () => ({ kind: 'no-answer', ringMs: 50 }), times: { againMs: 100 } },
      async (home) => {
        const first = home.carrier.placeCall({ caller: stay(60_000) })
        await until('the place is taken', () => home.edge.pod.calls.size === 1)
        const ask2 = (from: string) => home.carrier.placeCall({ from, caller: stay(30_000), presses: '1' }).done
        const reports = await Promise.all([ask2(PERSON), ask2(PERSON), ask2('anonymous'), ask2('+266696687')])
        assert.match(saidIn(reports[0]!), /Wir rufen Sie zurück/)
        assert.match(saidIn(reports[1]!), /Wir rufen Sie zurück/)
        for (const hidden of reports.slice(2)) assert.doesNotMatch(saidIn(hidden), /rufen Sie zurück|zurückrufen/)
        first.hangUp()
        const dead = async () =>
          ((await ask(home.edge, '/admin/work?state=dead')).items as { type: string; error: string }[]).filter(
            ({ type }) => type === 'call-back',
          )
        await until('it is given up', async () => (await dead()).length > 0)
        assert.deepEqual(
          (await dead()).map(({ error }) => error),
          ['the call-back: no-answer, 3 times'],
        )
        assert.deepEqual(home.dialled, [PERSON, PERSON, PERSON])
      },
    )
  })

  test('[WAIT-5][P30][CBK1] a create whose answer is lost is looked up: the person is dialled once', async () => {
    const carrier = { createFaults: ['answer-lost' as const] }
    await house({ overflow: 'call-back', carrier, times: { settleMs: 500 } }, async (home) => {
      await overflowed(home, { presses: '1' })
      const done = async () =>
        ((await ask(home.edge, '/admin/work?state=done')).items as { type: string }[]).some(
          ({ type }) => type === 'call-back',
        )
      await until('the item is done', done)
      assert.deepEqual(home.dialled, [PERSON])
    })
  })

  test('[P30][CBK1] a create whose request is lost is made anew: the person is dialled once', async () => {
    const carrier = { createFaults: ['request-lost' as const] }
    await house({ overflow: 'call-back', carrier, times: { settleMs: 500 } }, async (home) => {
      await overflowed(home, { presses: '1' })
      await until('the person is called', () => home.dialled.length === 1)
      const done = async () =>
        ((await ask(home.edge, '/admin/work?state=done')).items as { type: string }[]).some(
          ({ type }) => type === 'call-back',
        )
      await until('the item is done', done)
      assert.deepEqual(home.dialled, [PERSON])
    })
  })
})
