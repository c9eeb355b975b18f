import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../kit/clock.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'
import { startWatch } from '../../kit/testing/patience.ts'
import type { WorkItem } from '../ports.ts'
import { Webhook, type WebhookSettings } from './delivery.ts'
import { isPublicAddress, publicLookup, REFUSED } from './target.ts'

const SECRETS = ['the first secret of sixteen', 'the second secret of sixteen']
const never = new AbortController().signal
const item = (keyNumber = 1): WorkItem => ({
  id: '9',
  callSid: `CA${'1'.repeat(32)}` as CallSid,
  callId: 'call-9' as CallId,
  tenant: 'default',
  type: 'crm',
  attempt: 1,
  version: 7,
  keyNumber,
  body: {},
  createdAtMs: 0,
})

type Got = { headers: IncomingMessage['headers']; body: string }

async function receiver(answer: (got: Got, response: ServerResponse) => void) {
  const got: Got[] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      got.push({ headers: request.headers, body })
      answer(got.at(-1)!, response)
    })
  })
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/crm`,
    got,
    connections: () => sockets.size,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function webhookTo(url: string, more: Partial<WebhookSettings> = {}, intents: string[] = []) {
  const store = {
    intend: async (_held: unknown, key: string) => {
      if (intents.includes(key)) return { kind: 'known' as const }
      intents.push(key)
      return { kind: 'intended' as const }
    },
  }
  const settings = { url, secrets: SECRETS, hasKeys: true, mayBePrivate: true, timeoutMs: 500, ...more }
  return new Webhook({ settings, store, clock: systemClock })
}

test('[WORK-3][WDL1][WS1] a delivery bears its key, and a signature that each secret verifies', async () => {
  const there = await receiver((_got, response) => response.writeHead(200).end('ok'))
  const webhook = webhookTo(there.url)
  const outcome = await webhook.deliver(item(3), 'call.ended', { summary: 'é' }, never)
  assert.deepEqual(outcome, { kind: 'delivered', key: 'call-9:crm:3', status: 200 })
  const [{ headers, body }] = there.got as [Got]
  assert.equal(headers['idempotency-key'], 'call-9:crm:3')
  assert.deepEqual(JSON.parse(body), { event: 'call.ended', key: 'call-9:crm:3', data: { summary: 'é' } })
  const [time, ...marks] = String(headers['x-voiceplane-signature']).split(',')
  const seconds = time!.slice('t='.length)
  assert.ok(Math.abs(Date.now() / 1_000 - Number(seconds)) < 5)
  const expected = SECRETS.map(
    (secret) => `v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`,
  )
  assert.deepEqual(marks, expected)
  webhook.close()
  there.close()
})

test('[WDL2] each status has its outcome', async () => {
  let status = 200
  const there = await receiver((_got, response) =>
    response.writeHead(status, { 'retry-after': '7', location: '/x' }).end(),
  )
  const webhook = webhookTo(there.url)
  const outcomes: Record<number, string> = {}
  for (status of [201, 302, 400, 404, 408, 409, 410, 429, 500, 503]) {
    const outcome = await webhook.deliver(item(), 'call.ended', {}, never)
    outcomes[status] = outcome.kind
    if (outcome.kind === 'retry') assert.equal(outcome.inMs, 7_000)
  }
  assert.deepEqual(outcomes, {
    201: 'delivered',
    302: 'dead',
    400: 'dead',
    404: 'dead',
    408: 'retry',
    409: 'delivered',
    410: 'dead',
    429: 'retry',
    500: 'retry',
    503: 'retry',
  })
  assert.equal(there.got.length, 10, 'a redirect is not followed')
  webhook.close()
  there.close()
})

test('[HP1] fifty deliveries one after the other use one connection', async () => {
  const there = await receiver((_got, response) => response.writeHead(204).end())
  const webhook = webhookTo(there.url)
  for (let n = 0; n < 50; n++)
    assert.equal((await webhook.deliver(item(), 'call.ended', { n }, never)).kind, 'delivered')
  assert.equal(there.got.length, 50)
  assert.equal(there.connections(), 1)
  webhook.close()
  there.close()
})

test('[HP2][HP3] a receiver that hangs, drips, floods or is not there is tried again, each within its bound', async () => {
  const hangs = await receiver(() => undefined)
  const drips = await receiver((_got, response) => {
    response.writeHead(200)
    const timer = setInterval(() => response.write('.'), 50)
    response.on('close', () => clearInterval(timer))
  })
  const floods = await receiver((_got, response) => {
    response.writeHead(200)
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) {
        // until the socket is full
      }
    }
    response.on('drain', more)
    more()
  })
  const watch = startWatch()
  for (const { url } of [hangs, drips, floods, { url: 'http://127.0.0.1:1/none' }]) {
    const webhook = webhookTo(url, { timeoutMs: 300 })
    assert.equal((await webhook.deliver(item(), 'call.ended', {}, never)).kind, 'retry', url)
    webhook.close()
  }
  assert.ok(watch.elapsedMs() < 2_500)
  for (const there of [hangs, drips, floods]) there.close()
})

test('[SAFE-9][WDL3][WT2] a private address is refused for good, by number and by name, before anything is sent', async () => {
  const there = await receiver((_got, response) => response.writeHead(200).end())
  const { port } = new URL(there.url)
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433']) {
    const webhook = webhookTo(`http://${host}:${port}/`, { mayBePrivate: false })
    const outcome = await webhook.deliver(item(), 'call.ended', {}, never)
    assert.equal(outcome.kind, 'dead', host)
    assert.match((outcome as { error: string }).error, /CRM_ALLOW_PRIVATE/)
    webhook.close()
  }
  assert.equal(there.got.length, 0)
  there.close()
})

/** The blocks of IANA's two special-purpose address registries that are not globally reachable or no receiver's, one address of each. */
const SPECIAL = [
  '0.0.0.1',
  '10.255.255.254',
  '100.127.255.254',
  '127.8.8.8',
  '169.254.169.254',
  '172.16.0.1',
  '192.0.0.8',
  '192.0.0.170',
  '192.0.2.1',
  '192.31.196.1',
  '192.52.193.1',
  '192.88.99.2',
  '192.168.0.1',
  '192.175.48.1',
  '198.19.255.254',
  '198.51.100.7',
  '203.0.113.9',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '168.63.129.16',
  '::1',
  '::',
  '::ffff:8.8.8.8',
  '64:ff9b::808:808',
  '64:ff9b:1::1',
  '100::1',
  '100:0:0:1::1',
  '2001::1',
  '2001:1::1',
  '2001:2::1',
  '2001:3::1',
  '2001:4:112::1',
  '2001:10::1',
  '2001:20::1',
  '2001:30::1',
  '2001:db8::1',
  '2002:808:808::1',
  '2620:4f:8000::1',
  '3fff::1',
  '5f00::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fec0::1',
  'ff02::1',
]

test('[S16][WT2] no address of a special-purpose registry, and none of a cloud inside itself, is a receiver', () => {
  assert.deepEqual(SPECIAL.filter(isPublicAddress), [])
  for (const address of ['8.8.8.8', '168.63.129.17', '192.31.197.1', '2606:4700::1111', '2a00:1450:4001::1'])
    assert.equal(isPublicAddress(address), true, address)
})

test('[WT1][WT2] addresses are judged, and one bad one of a name is enough', async () => {
  const bad = [
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    'ff02::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::1',
    'none',
  ]
  for (const address of bad) assert.equal(isPublicAddress(address), false, address)
  for (const address of ['8.8.8.8', '1.1.1.1', '172.32.0.1', '2606:4700::1111'])
    assert.equal(isPublicAddress(address), true, address)
  type Resolve = NonNullable<Parameters<typeof publicLookup>[0]>
  const answering = (...addresses: string[]): Resolve =>
    ((_host: string, _options: object, callback: (error: null, all: object[]) => void) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )) as unknown as Resolve
  const look = (...addresses: string[]) =>
    new Promise<string>((resolve) =>
      publicLookup(answering(...addresses))('crm.example', {}, (error, address) =>
        resolve(error?.code ?? String(address)),
      ),
    )
  assert.equal(await look('8.8.8.8', '10.0.0.1'), REFUSED)
  assert.equal(await look('8.8.8.8', '1.1.1.1'), '8.8.8.8')
  assert.equal(await look(), REFUSED)
})

test('[WORK-4][WDL4][WK5] a receiver without keys gets a call once; what is not known waits for a person', async () => {
  let status = 200
  const there = await receiver((_got, response) =>
    status === 0 ? response.destroy() : response.writeHead(status).end(),
  )
  const intents: string[] = []
  const webhook = webhookTo(there.url, { hasKeys: false }, intents)
  assert.equal((await webhook.deliver(item(1), 'call.ended', {}, never)).kind, 'delivered')
  assert.equal((await webhook.deliver(item(1), 'call.ended', {}, never)).kind, 'uncertain', 'it was intended before')
  assert.equal(there.got.length, 1)
  status = 0
  assert.equal((await webhook.deliver(item(2), 'call.ended', {}, never)).kind, 'uncertain')
  status = 500
  assert.equal((await webhook.deliver(item(3), 'call.ended', {}, never)).kind, 'uncertain')
  assert.equal((await webhook.deliver(item(4), 'call.ended', {}, never)).kind, 'uncertain')
  assert.equal(intents.length, 4)
  webhook.close()
  there.close()
})
