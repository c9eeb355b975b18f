// The way in of a fleet, with the real HAProxy and pods that can die.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Front, type Stream } from './front.ts'

const CUT_BY_KILL_MAX_MS = 500
const CUT_BY_FREEZE_MAX_MS = 4_000

/** Runs `journey` with fresh pods and ends everything after it. */
async function withFront(names: string[], journey: (front: Front) => Promise<void>): Promise<void> {
  const front = await Front.open(...names)
  try {
    await journey(front)
  } finally {
    await front.close()
  }
}

const THREE = ['pod-a', 'pod-b', 'pod-c']

describe('HAProxy before a fleet', { concurrency: 3 }, () => {
  test('[HP2] a media stream and a webhook reach exactly the pod they name, with the signature', () =>
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

  test('[HP4][HP5] SIGSTOP: the callers of a frozen pod are cut in time, and a webhook that hangs in it is asked of another', () =>
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

  test('a pod that stalls for two seconds keeps its callers', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const stream = await front.stream('pod-a', 'CA1')
      front.pod('pod-a').program.kill('SIGSTOP')
      await sleep(2_000)
      front.pod('pod-a').program.kill('SIGCONT')
      await sleep(1_500)
      assert.equal(await stream.echo('still here'), 'pod-a:still here')
      stream.close()
    }))

  test('[HP4] a draining pod keeps its sockets and what is named for it, and gets no new call; none is refused meanwhile', () =>
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

  test('[HP5] a webhook whose pod dies with it is answered by another pod; without any pod it is 503', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      const answer = await front.post('/twilio/die?pod=pod-a&on=pod-a')
      assert.deepEqual([answer.status, answer.pod], [200, 'pod-b'])
      front.pod('pod-b').program.kill('SIGKILL')
      await front.pod('pod-b').program.exited
      assert.equal((await front.post('/twilio/voice')).status, 503)
    }))

  test('[O21][HP5] what the carrier only tells is told to another pod when one does not answer, dies or fails', () =>
    withFront(THREE, async (front) => {
      const startMs = performance.now()
      const told = await front.post('/twilio/status?pod=pod-a&on=pod-a')
      assert.equal(told.status, 200)
      assert.notEqual(told.pod, 'pod-a')
      assert.ok(performance.now() - startMs < 4_000, 'the carrier would have given this attempt up')
      const failed = await front.post('/twilio/fail?pod=pod-b&on=pod-b')
      assert.equal(failed.status, 200)
      assert.notEqual(failed.pod, 'pod-b')
      const died = await front.post('/twilio/die?pod=pod-c&on=pod-c')
      assert.equal(died.status, 200)
      assert.notEqual(died.pod, 'pod-c')
    }))

  test('[HP5] when every pod refuses, the refusal reaches the carrier as it is', () =>
    withFront(['pod-a', 'pod-b'], async (front) => {
      for (const name of ['pod-a', 'pod-b']) await front.drain(name)
      const response = await fetch(`${front.haproxy.url}/twilio/voice`, { method: 'POST', body: 'CallSid=CA1' })
      assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '5'])
      assert.match(await response.text(), /pod-[ab]/)
    }))

  test('[HP1] only the paths of carrier and provider pass, however the others are spelt', () =>
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
