// The way in of a fleet, with the real HAProxy and pods that can die.
import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startWatch } from '../../src/kit/testing/patience.ts'
import { Front, type FrontOptions, type Stream } from './front.ts'

/** `timeout http-request`, and what a busy machine adds. */
const SLOW_ENDS_MS = 10_000
const FORM = 'Content-Type: application/x-www-form-urlencoded'
const CUT_BY_KILL_MAX_MS = 500
const CUT_BY_FREEZE_MAX_MS = 4_000

/** Runs `journey` with fresh pods and ends everything after it. */
async function withFront(
  names: string[],
  journey: (front: Front) => Promise<void>,
  options: FrontOptions = {},
): Promise<void> {
  const front = await Front.with(options, ...names)
  try {
    await journey(front)
  } finally {
    await front.close()
  }
}

const THREE = ['pod-a', 'pod-b', 'pod-c']

describe('HAProxy before a fleet', { concurrency: 3 }, () => {
  test('[DEPLOY-5][HP2] a media stream and a webhook reach exactly the pod they name, with the signature', () =>
    withFront(THREE, async (front) => {
      for (const name of THREE) {
        const stream = await front.stream(name, 'CA7', { 'X-Twilio-Signature': 'of-the-stream' })
        assert.equal(stream.pod, name)
        assert.equal(stream.headers['x-twilio-signature'], 'of-the-stream')
        assert.equal(await stream.echo('frame'), `${name}:frame`)
        stream.close()
        const answer = await front.post(`/twilio/next?pod=${name}`, 'CA7', { 'X-Twilio-Signature': 'of-the-webhook' })
        assert.deepEqual([answer.status, answer.pod, answer.url], [200, name, `/twilio/next?pod=${name}`])
        assert.equal(answer.headers['x-twilio-signature'], 'of-the-webhook')
        assert.equal((await front.post(`/twilio/wait/t1?pod=${name}`)).pod, name)
      }
    }))

  test('[HP3] what names nobody is spread by Call SID: as a rule the same call to the same pod, many calls to all', () =>
    withFront(THREE, async (front) => {
      const seen = new Set<string>()
      let moved = 0
      for (let call = 0; call < 60; call++) {
        const first = await front.post('/twilio/voice', `CA${call}`)
        const again = await front.post('/twilio/voice?pod=nobody', `CA${call}`)
        // The bound of a pod that is alone with a request is that one request: a moment's overlap moves the next.
        if (again.pod !== first.pod) moved++
        seen.add(first.pod)
      }
      assert.ok(moved <= 6, `${moved} of 60 repeated webhooks met another pod`)
      assert.deepEqual([...seen].sort(), THREE)
    }))

  test('[HP3] streams of one Call SID are bounded to 1.5 times the mean', () =>
    withFront(THREE, async (front) => {
      const streams: Stream[] = []
      for (let call = 0; call < 30; call++) streams.push(await front.stream('nobody', 'CA1'))
      const counts = THREE.map((name) => streams.filter(({ pod }) => pod === name).length)
      assert.ok(Math.max(...counts) <= 16, `one pod took ${Math.max(...counts)} of 30`)
      for (const stream of streams) stream.close()
    }))

  test('[HP4] SIGKILL cuts the callers of a pod at once, and what names it is served by another, asked once more at most', () =>
    withFront(THREE, async (front) => {
      const stream = await front.stream('pod-a', 'CA1')
      const other = await front.stream('pod-b', 'CA2')
      const killedAtMs = performance.now()
      front.pod('pod-a').program.kill('SIGKILL')
      const cutMs = (await stream.closedAtMs) - killedAtMs
      assert.ok(cutMs < CUT_BY_KILL_MAX_MS, `cut after ${cutMs} ms`)
      const next = await front.post('/twilio/next?pod=pod-a')
      assert.equal(next.status, 200)
      assert.notEqual(next.pod, 'pod-a')
      // The first to meet the dead pod may be cut off with it; the carrier asks again.
      const knock = () => front.stream('pod-a', 'CA1')
      const resumed = await knock().catch(knock)
      assert.notEqual(resumed.pod, 'pod-a')
      await front.seen('pod-a', 'DOWN')
      assert.notEqual((await front.post('/twilio/next?pod=pod-a')).pod, 'pod-a')
      assert.ok(other.isOpen(), 'a caller of another pod was cut')
      for (const open of [resumed, other]) open.close()
    }))

  test('[POD-12][DEPLOY-6][HP4][HP5] SIGSTOP: the callers of a frozen pod are cut in time, and a webhook that hangs in it is asked of another', () =>
    withFront(THREE, async (front) => {
      const stream = await front.stream('pod-a', 'CA1')
      const hanging = front.post('/twilio/hang?pod=pod-a&on=pod-a')
      await sleep(50)
      const frozenAtMs = performance.now()
      front.pod('pod-a').program.kill('SIGSTOP')
      const cutMs = (await stream.closedAtMs) - frozenAtMs
      assert.ok(cutMs < CUT_BY_FREEZE_MAX_MS, `cut after ${cutMs} ms`)
      const answer = await hanging
      assert.equal(answer.status, 200)
      assert.notEqual(answer.pod, 'pod-a')
      front.pod('pod-a').program.kill('SIGCONT')
      await front.seen('pod-a', 'UP')
      assert.equal((await front.post('/twilio/next?pod=pod-a')).pod, 'pod-a')
    }))

  test('[POD-12] a pod that stalls for two seconds keeps its callers', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const stream = await front.stream('pod-a', 'CA1')
      front.pod('pod-a').program.kill('SIGSTOP')
      await sleep(2_000)
      front.pod('pod-a').program.kill('SIGCONT')
      await sleep(1_500)
      assert.equal(await stream.echo('still here'), 'pod-a:still here')
      stream.close()
    }))

  test('[DEPLOY-5][HP4] a draining pod keeps its sockets and what is named for it, and gets no new call; none is refused meanwhile', () =>
    withFront(THREE, async (front) => {
      const stream = await front.stream('pod-a', 'CA1')
      await front.drain('pod-a')
      // HAProxy does not know yet: the 503 of pod-a is asked again of another [HP5].
      for (let call = 0; call < 12; call++) {
        const answer = await front.post('/twilio/voice', `CA${call}`)
        assert.deepEqual([answer.status, answer.pod !== 'pod-a'], [200, true])
      }
      await front.seen('pod-a', 'NOLB')
      for (let call = 0; call < 12; call++) {
        assert.notEqual((await front.post('/twilio/status', `CA${call}`)).pod, 'pod-a')
        const hashed = await front.stream('nobody', `CA${call}`)
        assert.notEqual(hashed.pod, 'pod-a')
        hashed.close()
      }
      assert.equal((await front.post('/twilio/next?pod=pod-a')).pod, 'pod-a')
      const named = await front.stream('pod-a', 'CA9')
      assert.equal(named.pod, 'pod-a')
      assert.equal(await stream.echo('frame'), 'pod-a:frame')
      for (const open of [named, stream]) open.close()
    }))

  test('[HP4] a pod whose /healthz fails is dead: its callers are cut', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const stream = await front.stream('pod-a', 'CA1')
      await fetch(`${front.pod('pod-a').url}/test/stuck`)
      await stream.closedAtMs
      assert.equal((await front.post('/twilio/next?pod=pod-a')).pod, 'pod-b')
    }))

  test('[DEPLOY-6][HP5] a webhook whose pod dies with it is answered by another pod; without any pod it is 503', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const answer = await front.post('/twilio/die?pod=pod-a&on=pod-a')
      assert.deepEqual([answer.status, answer.pod], [200, 'pod-b'])
      front.pod('pod-b').program.kill('SIGKILL')
      await front.pod('pod-b').program.exited
      assert.equal((await front.post('/twilio/voice')).status, 503)
    }))

  test('[O21][HP5] what the carrier only tells is told to another pod when one does not answer, dies or fails', () =>
    withFront(THREE, async (front) => {
      const watch = startWatch()
      const told = await front.post('/twilio/status?pod=pod-a&on=pod-a')
      assert.equal(told.status, 200)
      assert.notEqual(told.pod, 'pod-a')
      assert.ok(watch.elapsedMs() < 4_000, 'the carrier would have given this attempt up')
      const failed = await front.post('/twilio/fail?pod=pod-b&on=pod-b')
      assert.equal(failed.status, 200)
      assert.notEqual(failed.pod, 'pod-b')
      const died = await front.post('/twilio/die?pod=pod-c&on=pod-c')
      assert.equal(died.status, 200)
      assert.notEqual(died.pod, 'pod-c')
    }))

  test('[DEPLOY-6][HP5] when every pod refuses, the refusal reaches the carrier as it is', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      for (const name of ['pod-a', 'pod-b']) await front.drain(name)
      const response = await fetch(`${front.haproxy.url}/twilio/voice`, { method: 'POST', body: 'CallSid=CA1' })
      assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '5'])
      assert.match(await response.text(), /pod-[ab]/)
    }))

  test('[SAFE-2][HP1] only the paths of carrier and provider pass, however the others are spelt', () =>
    withFront(['pod-a'], async (front) => {
      const closed = ['/', '/metrics', '/healthz', '/ready', '/drain', '/internal/calls', '/api/v1/calls', '/twilio']
      const spelt = [
        '/%6detrics',
        '/METRICS',
        '//metrics',
        '/metrics/',
        '/metrics?x=/twilio/',
        '/%2fmetrics',
        '/openai/x',
      ]
      for (const path of [...closed, ...spelt]) {
        const { status } = await front.post(path)
        assert.equal(status, 404, `POST ${path}`)
        assert.equal((await fetch(`${front.haproxy.url}${path}`)).status, 404, `GET ${path}`)
      }
      assert.equal((await front.post('/openai/webhook')).pod, 'pod-a')
      assert.equal((await front.post('/twilio/stream-status')).pod, 'pod-a')
    }))

  test('what the outside says about itself is replaced, and each request gets its id', () =>
    withFront(['pod-a'], async (front) => {
      const forged = { 'X-Forwarded-For': '8.8.8.8', 'X-Forwarded-Proto': 'https', 'X-Request-Id': 'mine' }
      const first = (await front.post('/twilio/voice', 'CA1', forged)).headers
      const second = (await front.post('/twilio/voice', 'CA1', forged)).headers
      assert.deepEqual([first['x-forwarded-for'], first['x-forwarded-proto']], ['127.0.0.1', 'http'])
      assert.equal(first['x-forwarded-host'], `127.0.0.1:${front.haproxy.port}`)
      assert.match(first['x-request-id'] ?? '', /^[0-9a-f-]{36}$/)
      assert.notEqual(first['x-request-id'], second['x-request-id'])
    }))

  test('pods come and go while calls live; a newcomer is watched like the others', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const old = await front.stream('pod-a', 'CA1')
      const leaving = await front.stream('pod-b', 'CA2')
      const added = await front.add('pod-c')
      // Twice at once: the second must find what the first has done.
      const three = [front.pod('pod-a'), front.pod('pod-b'), added]
      await Promise.all([front.haproxy.reload(three), front.haproxy.reload(three)])
      await front.seen('pod-c', 'UP')
      const fresh = await front.stream('pod-c', 'CA3')
      assert.deepEqual([fresh.pod, (await front.post('/twilio/next?pod=pod-c')).pod], ['pod-c', 'pod-c'])
      await front.haproxy.reload([front.pod('pod-a'), added])
      await leaving.closedAtMs
      assert.notEqual((await front.post('/twilio/next?pod=pod-b')).pod, 'pod-b')
      const frozenAtMs = performance.now()
      added.program.kill('SIGSTOP')
      const cutMs = (await fresh.closedAtMs) - frozenAtMs
      assert.ok(cutMs < CUT_BY_FREEZE_MAX_MS, `cut after ${cutMs} ms`)
      assert.equal(await old.echo('frame'), 'pod-a:frame')
      old.close()
    }))

  test('HAProxy that was killed comes back on its port with the pods of now', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const added = await front.add('pod-c')
      await front.haproxy.reload([front.pod('pod-a'), added])
      front.haproxy.kill('SIGKILL')
      await front.haproxy.exited
      await assert.rejects(front.post('/twilio/voice'))
      await front.haproxy.start()
      assert.equal((await front.post('/twilio/next?pod=pod-c')).pod, 'pod-c')
    }))
})
describe('strangers before HAProxy', { concurrency: 3 }, () => {
  const SLOW = { maxConn: 2_000 }

  /** Sends a head and one byte, then a byte each 500 ms; the answer's status line, and after how many ms it was closed. */
  function slowly(front: Front, lines: string[], from?: string): Promise<{ line: string; livedMs: number }> {
    return new Promise((resolve) => {
      const beganMs = performance.now()
      let answer = ''
      const socket = connect({ port: front.haproxy.port, host: '127.0.0.1', localAddress: from })
      const timer = setInterval(() => socket.write('x'), 500)
      socket.on('data', (chunk: Buffer) => {
        answer += chunk.toString('latin1')
      })
      socket.on('error', () => {})
      socket.on('end', () => socket.end())
      socket.on('close', () => {
        clearInterval(timer)
        resolve({ line: answer.split('\r\n')[0] ?? '', livedMs: performance.now() - beganMs })
      })
      socket.write(`${['POST /twilio/status HTTP/1.1', 'Host: x', FORM, ...lines].join('\r\n')}\r\n\r\nC`)
    })
  }

  test('[S3] [HP7] slow bodies of any length end within the bound, no pod hears of them, and webhooks pass meanwhile', () =>
    withFront(
      ['pod-a', 'pod-b'],
      async (front) => {
        const kinds = [
          ['Content-Length: 2000'],
          ['Content-Length: 17000'],
          ['Content-Length: 60000'],
          ['Transfer-Encoding: chunked'],
        ]
        const slow = Array.from({ length: 200 }, (_, i) => slowly(front, kinds[i % kinds.length]!))
        for (let n = 0; n < 40; n++) {
          assert.equal((await front.post('/twilio/voice', `CA${n}`)).status, 200)
          await sleep(50)
        }
        for (const { line, livedMs } of await Promise.all(slow)) {
          assert.match(line, /^HTTP\/1\.1 4\d\d /)
          assert.ok(livedMs < SLOW_ENDS_MS, `${livedMs} ms`)
        }
        const heard = await Promise.all(['pod-a', 'pod-b'].map((name) => front.heard(name, '/twilio/status')))
        assert.deepEqual(heard, [0, 0])
      },
      SLOW,
    ))

  test('[S3] [HP7] a body of 16 KiB passes whole, one more byte is 413', () =>
    withFront(['pod-a'], async (front) => {
      const status = async (bytes: number) => {
        const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-long': 'h'.repeat(8_000) }
        return (await fetch(`${front.haproxy.url}/twilio/voice`, { method: 'POST', body: 'x'.repeat(bytes), headers }))
          .status
      }
      assert.deepEqual([await status(16_384), await status(16_385), await status(40_000)], [200, 413, 413])
    }))

  test('[S3] [HP8] one address has its connections and its errors, and what comes from others passes', () =>
    withFront(
      ['pod-a'],
      async (front) => {
        const many = Array.from({ length: 60 }, () => slowly(front, ['Content-Length: 2000'], '127.0.0.7'))
        const cut = (await Promise.all(many)).filter(({ line }) => line === '')
        assert.equal(cut.length, 40)
        assert.equal((await front.post('/twilio/voice')).status, 200)
        const wrong = () => request(front, '127.0.0.8')
        const statuses = []
        for (let n = 0; n < 40; n++) statuses.push(await wrong())
        assert.ok(statuses.filter((status) => status === 429).length >= 5, statuses.join(' '))
        assert.equal((await front.post('/twilio/voice')).status, 200)
      },
      { perSource: { connections: 20, errors: 30 } },
    ))

  const request = (front: Front, from: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = { method: 'POST', localAddress: from, agent: false }
      const asked = httpRequest(`${front.haproxy.url}/twilio/voice`, options, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      asked.on('error', reject)
      asked.end('x'.repeat(17_000))
    })
})
