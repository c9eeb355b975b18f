import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import type { WitnessLine } from '../../load/report/witness.ts'
import { sign } from '../../src/work/webhook/signature.ts'
import { isSignedBy, makeReceiver, type ReceiverOptions } from './receiver.ts'

const SECRET = 'receiver-test-secret'
let folder = ''
let servers: Server[] = []

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'receiver-test-'))
})
afterEach(() => {
  for (const server of servers) server.close().closeAllConnections()
  servers = []
})
after(() => rm(folder, { recursive: true }))

/** A receiver on a port of its own, with a way to post to it and to read its log. */
async function start(name: string, options: Partial<ReceiverOptions> = {}) {
  const logFile = join(folder, name)
  const plain = { secret: SECRET, seed: 1, delayMs: 0, dropPercent: 0, busyPercent: 0 }
  const server = createServer(makeReceiver({ logFile, ...plain, ...options }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  servers.push(server)
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const send = async (body: string, headers: Record<string, string>): Promise<number | 'cut'> =>
    fetch(url, { method: 'POST', body, headers }).then(
      ({ status }) => status,
      () => 'cut' as const,
    )
  return {
    url,
    send,
    deliver: (callSid: string, key = `${callSid}:crm:1`) => {
      const body = bodyOf(callSid, key)
      return send(body, { 'idempotency-key': key, 'x-voiceplane-signature': sign(body, [SECRET], Date.now()) })
    },
    log: async () => {
      const lines = (await readFile(logFile, 'utf8')).trim().split('\n')
      return lines.map((line) => JSON.parse(line) as WitnessLine)
    },
  }
}

const bodyOf = (callSid: string, key: string): string =>
  JSON.stringify({ event: 'call.ended', key, data: { callSid, transcript: [] } })

test('[RC1] a signature is made anew: another body, another secret, an old time and none at all are not believed', () => {
  const mark = (seconds: number, body: string, secret = SECRET): string =>
    `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
  const judge = (header: string | undefined): boolean => isSignedBy(SECRET, header, 'body', 1_000_000)
  assert.equal(judge(mark(1_000, 'body')), true)
  assert.equal(judge(`${mark(1_000, 'body', 'another-secret')},${mark(1_000, 'body').slice(7)}`), true)
  for (const header of [
    mark(1_000, 'other'),
    mark(1_000, 'body', 'x'),
    mark(600, 'body'),
    't=1000',
    't=x',
    undefined,
  ]) {
    assert.equal(judge(header), false, header)
  }
})

test('[RC1][RC2] the effect of a key is taken once; what is not signed or has no form is refused and has none', async () => {
  const { deliver, send, log } = await start('once')
  assert.deepEqual([await deliver('CA1'), await deliver('CA1'), await deliver('CA2')], [200, 200, 200])
  const body = bodyOf('CA3', 'k3')
  const signed = { 'x-voiceplane-signature': sign(body, [SECRET], Date.now()) }
  const statuses = [
    await send(body, { 'idempotency-key': 'k3', 'x-voiceplane-signature': sign(body, ['wrong'], Date.now()) }),
    await send(body, { 'idempotency-key': 'k3' }),
    await send(body, signed),
    await send('no json', { 'idempotency-key': 'k3', 'x-voiceplane-signature': sign('no json', [SECRET], Date.now()) }),
  ]
  assert.deepEqual(statuses, [401, 401, 400, 400])
  const seen = (await log()).map(({ event, callSid, isRepeat }) => [event, callSid, isRepeat])
  assert.deepEqual(seen.slice(0, 3), [
    ['delivery', 'CA1', false],
    ['delivery', 'CA1', true],
    ['delivery', 'CA2', false],
  ])
  assert.deepEqual(seen.slice(3), [
    ...[
      ['refused', 'CA3', undefined],
      ['refused', 'CA3', undefined],
    ],
    ...[
      ['refused', undefined, undefined],
      ['refused', undefined, undefined],
    ],
  ])
})

test('[RC3] a dropped answer leaves its effect, and the same key is answered then; a busy one leaves none', async () => {
  const dropping = await start('drop', { dropPercent: 100 })
  assert.deepEqual([await dropping.deliver('CA1'), await dropping.deliver('CA1')], ['cut', 200])
  const outcomes = (await dropping.log()).map(({ outcome, isRepeat }) => [outcome, isRepeat])
  assert.deepEqual(outcomes, [
    ['dropped', false],
    ['answered', true],
  ])
  const busy = await start('busy', { busyPercent: 100 })
  assert.deepEqual([await busy.deliver('CA1'), await busy.deliver('CA1')], [503, 503])
  assert.ok((await busy.log()).every(({ outcome, isRepeat }) => outcome === 'busy' && isRepeat === false))
})

test('[RC4] the model answers with one analysis in the form of a chat completion', async () => {
  const { url } = await start('model')
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{}' })
  const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] }
  assert.equal((JSON.parse(choices[0]!.message.content) as { satisfaction: number }).satisfaction, 4)
})

test('[RC6] poison is refused for good and has no effect until it is healed, whoever else is served', async () => {
  const { url, deliver, log } = await start('poison', { poisonEvery: 16 })
  assert.deepEqual([await deliver('CA000010'), await deliver('CA000010'), await deliver('CA000011')], [400, 400, 200])
  await fetch(`${url}/heal`, { method: 'POST' })
  assert.equal(await deliver('CA000010', 'CA000010:crm:2'), 200)
  const seen = (await log()).map(({ key, outcome, isRepeat }) => [key, outcome, isRepeat])
  assert.deepEqual(seen, [
    ['CA000010:crm:1', 'poison', false],
    ['CA000010:crm:1', 'poison', false],
    ['CA000011:crm:1', 'answered', false],
    ['CA000010:crm:2', 'answered', false],
  ])
})
