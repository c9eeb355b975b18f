// The ingress of the chart as it is rendered, in the real HAProxy, before pods with addresses of their own that a name server tells.
// What a cluster has and this has not: kube-proxy, a network between machines, the chart's HAProxy image (here: the one installed).
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startWatch } from '../../src/kit/testing/patience.ts'
import { delay, Ingress } from './ingress.ts'

let ingress: Ingress
before(async () => {
  ingress = await Ingress.start(['127.1.0.2', '127.1.0.3', '127.1.0.4'])
})
after(() => ingress?.close())

const sid = (index: number): string => `CA${String(index).padStart(32, '0')}`
const nameOf = (address: string): string => `edge-x2x4z-${address.replaceAll('.', '-')}`
const pathOf = (pod: string, index = 1): string => `/media/${pod}/${sid(index)}/token`

describe('the ingress of the chart', () => {
  test('a stream goes to the pod its path names, and the carrier’s signature goes with it', async () => {
    for (const address of ingress.addresses) {
      for (let index = 0; index < 5; index += 1) {
        const stream = await ingress.open(pathOf(nameOf(address), index))
        assert.equal(stream.pod, address)
        assert.equal(stream.saw, 'a-signature')
        stream.close()
      }
    }
  })

  test('a webhook that names its pod reaches it', async () => {
    for (const address of ingress.addresses) {
      assert.equal((await ingress.post(`/twilio/next?pod=${nameOf(address)}`, sid(1))).body, address)
    }
  })

  test('what names no pod goes by Call SID: its webhooks and its stream find the same pod, and all pods get some', async () => {
    const seen = new Set<string>()
    let together = 0
    for (let index = 0; index < 30; index += 1) {
      const { body } = await ingress.post('/twilio/voice', sid(index))
      const again = await ingress.post('/twilio/next', sid(index))
      const stream = await ingress.open(pathOf('edge-gone0-10-9-9-9', index))
      // With so few at one time a connection that is still closing may fill its pod’s share, and the next one goes on: on a busy machine half of them.
      if (again.body === body && stream.pod === body) together += 1
      stream.close()
      seen.add(body)
    }
    assert.ok(together >= 12, `${together} of 30 stayed together`)
    assert.deepEqual([...seen].sort(), [...ingress.addresses].sort())
  })

  test('an address that DNS does not name is never dialled, though something listens there', async () => {
    const stranger = await ingress.startPod('127.1.0.66')
    const stream = await ingress.open(pathOf(nameOf(stranger.address)))
    assert.notEqual(stream.pod, stranger.address)
    stream.close()
  })

  test('what is inside does not exist outside', async () => {
    const paths = ['/metrics', '/drain', '/internal/expect', '/healthz', '/ready', '/', '/api/v1/calls']
    const tricks = ['/twilio/../drain', '//drain', '/media/..%2fdrain', '/twilio/%2e%2e/metrics', '/DRAIN']
    for (const path of [...paths, ...tricks]) {
      assert.equal((await ingress.post(path, sid(1))).status, 404, path)
    }
  })

  test('[DEPLOY-5] a pod that drains keeps its streams and gets what is named for it, and nothing else', async () => {
    const [address = ''] = ingress.addresses
    const stream = await ingress.open(pathOf(nameOf(address)))
    await ingress.setReady(address, false)
    await delay(1_500)
    const late = await ingress.open(pathOf(nameOf(address)))
    assert.equal(late.pod, address)
    for (let index = 0; index < 30; index += 1) {
      assert.notEqual((await ingress.post('/twilio/voice', sid(index))).body, address)
    }
    assert.equal(await stream.echo('still here'), 'still here')
    await ingress.setReady(address, true)
    late.close()
    stream.close()
  })

  test('[POD-12] a pod frozen for 2 s loses nothing; one that stays frozen is cut off within 3.5 s, its calls go elsewhere', async () => {
    const address = ingress.addresses[1]!
    const stream = await ingress.open(pathOf(nameOf(address)))
    ingress.signal(address, 'SIGSTOP')
    await delay(2_000)
    ingress.signal(address, 'SIGCONT')
    await delay(1_500)
    assert.equal(await stream.echo('awake'), 'awake')
    ingress.signal(address, 'SIGSTOP')
    const frozenMs = performance.now()
    await stream.closed
    const cutMs = performance.now() - frozenMs
    assert.ok(cutMs > 2_000 && cutMs < 3_900, `cut after ${Math.round(cutMs)} ms`)
    const again = await ingress.open(pathOf(nameOf(address)))
    assert.notEqual(again.pod, address)
    again.close()
    ingress.signal(address, 'SIGCONT')
  })

  test('a killed pod’s stream is cut at once, and the next one finds another pod', async () => {
    const address = ingress.addresses[2]!
    const stream = await ingress.open(pathOf(nameOf(address)))
    ingress.signal(address, 'SIGKILL')
    const killedWatch = startWatch()
    await stream.closed
    assert.ok(killedWatch.elapsedMs() < 500)
    const again = await ingress.open(pathOf(nameOf(address)))
    assert.notEqual(again.pod, address)
    again.close()
  })

  test('a pod that DNS begins to name gets what is named for it', async () => {
    const fresh = await ingress.startPod('127.1.0.5')
    ingress.tell([...ingress.addresses, fresh.address])
    for (let tried = 0; ; tried += 1) {
      const stream = await ingress.open(pathOf(nameOf(fresh.address)))
      stream.close()
      if (stream.pod === fresh.address) break
      assert.ok(tried < 40, 'the new pod was not found within 10 s')
      await delay(250)
    }
  })
})
