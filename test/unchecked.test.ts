// Signatures off on loopback: programs of this machine get in, and no page that a browser on it shows.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { LISTEN, Plane } from './plane.ts'
import { newCallSid } from './raw-carrier.ts'

const WITHIN_MS = 20_000

let plane: Plane
before(async () => {
  plane = await Plane.open({ env: { TWILIO_SIGNATURE_CHECK: 'off' } })
})
after(() => plane.close())

/** Sends a request as it stands; gives back the start of its answer. */
function send(text: string): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(plane.edge.url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    socket.setTimeout(WITHIN_MS, () => socket.destroy(new Error('no answer')))
    socket.on('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      const answer = data.toString('latin1')
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]), text: answer })
    })
    socket.write(text)
  })
}

const own = (): string => new URL(plane.edge.url).host

function webhook(path: string, host: string, headers: readonly string[] = []): string {
  const body = new URLSearchParams({
    ...{ CallSid: newCallSid(), AccountSid: `AC${'0'.repeat(31)}1`, From: '+15005550006', To: '+15005550001' },
    ...{ CallStatus: 'ringing', Direction: 'inbound' },
  }).toString()
  return [
    `POST ${path} HTTP/1.1`,
    ...[`Host: ${host}`, 'Content-Type: application/x-www-form-urlencoded', `Content-Length: ${body.length}`],
    ...[...headers, '', body],
  ].join('\r\n')
}

const upgrade = (path: string, host: string, headers: readonly string[] = []): string =>
  [
    ...[`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket'],
    ...['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', ...headers, '', ''],
  ].join('\r\n')

const PAGES: [string, string | undefined, string[]][] = [
  ['a form of another site', undefined, ['Origin: https://evil.example', 'Sec-Fetch-Site: cross-site']],
  ['an old browser', undefined, ['Origin: https://evil.example']],
  ['a page without an origin', undefined, ['Origin: null']],
  ['a request that hides its origin', undefined, ['Sec-Fetch-Site: cross-site']],
  ['a page of another port', undefined, ['Sec-Fetch-Site: same-site']],
  ['a page whose name leads here', 'evil.example:8080', []],
  ['a name that looks like an address', '127.0.0.1.evil.example', []],
  ['user and address', '127.0.0.1@evil.example', []],
  ['no host', '', []],
]

test('[SAFE-8][S21] [UCH1] [UCH2] without signature checks no web page places a call or opens a stream', async () => {
  const { text } = await send(webhook('/twilio/voice', own()))
  const path = /url="ws:\/\/[^/]+(\/media\/[^"]+)"/.exec(text)?.[1]
  assert.ok(path !== undefined, text)
  const calls = plane.calls().length
  for (const [what, host = own(), headers] of PAGES) {
    for (const way of ['voice', 'next', 'status', 'recording'])
      assert.equal((await send(webhook(`/twilio/${way}`, host, headers))).status, 403, `${what}: ${way}`)
    assert.equal((await send(upgrade(path, host, headers))).status, 403, `${what}: stream`)
  }
  assert.equal(plane.calls().length, calls)
  // What was refused has not used the token up.
  assert.equal((await send(upgrade(path, own()))).status, 101)
})

test('[S21] [UCH2] programs of this machine come in by each name of it', async () => {
  const { port } = new URL(plane.edge.url)
  for (const name of ['127.0.0.1', 'localhost', 'LOCALHOST', '[::1]', '127.0.0.2'])
    for (const host of [name, `${name}:${port}`]) {
      assert.equal((await send(webhook('/twilio/status', host))).status, 200, host)
      assert.equal((await send(webhook('/twilio/status', host, ['Sec-Fetch-Site: none']))).status, 200, host)
    }
  const report = await plane.call(LISTEN)
  assert.equal(report.wasDropped, false)
})
