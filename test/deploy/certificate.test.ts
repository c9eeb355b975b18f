// A renewed certificate in the chart's ingress, in a real HAProxy: the Secret's files change as Kubernetes changes them.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { delay, Ingress } from './ingress.ts'

const POD = '127.1.1.2'
const PATH = `/media/edge-x2x4z-127-1-1-2/CA${'1'.repeat(32)}/token`
/** The ingress looks each 5 s. */
const RENEWED_MAX_MS = 40_000
const LOOKED_AT_MS = 12_000

let ingress: Ingress
before(async () => {
  ingress = await Ingress.start([POD], { tls: 'first' })
})
after(() => ingress?.close())

async function untilServed(name: string): Promise<void> {
  for (const untilMs = performance.now() + RENEWED_MAX_MS; performance.now() < untilMs; await delay(250)) {
    if ((await ingress.certificateName()) === name) return
  }
  assert.fail(`${name} is not served after ${RENEWED_MAX_MS} ms`)
}

const TRIES_MAX = 3

/**
 * Tries again when HAProxy held the pod for dead meanwhile: it cuts streams then, whatever the certificate. `names` are those of the try.
 */
async function whileThePodAnswers(run: (names: (base: string) => string) => Promise<void>): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    const before = await ingress.downSeconds()
    try {
      return await run((base) => `${base}-${tried}`)
    } catch (error) {
      if (tried === TRIES_MAX || (await ingress.downSeconds()) === before) throw error
    }
  }
}

describe('a renewed certificate', () => {
  test('[O9] new connections get it, and a live stream lives on', () =>
    whileThePodAnswers(async (named) => {
      const pid = ingress.pid
      const stream = await ingress.open(PATH)
      assert.equal(stream.pod, POD)
      let isClosed = false
      void stream.closed.then(() => {
        isClosed = true
      })
      await ingress.renewCertificate(named('second'))
      await untilServed(named('second'))
      assert.equal(isClosed, false)
      assert.equal(await stream.echo('still here'), 'still here')
      const fresh = await ingress.open(PATH)
      assert.equal(await fresh.echo('new'), 'new')
      assert.equal(ingress.pid, pid)
      fresh.close()
      // A second renewal of the same process, with the first stream still open.
      await ingress.renewCertificate(named('third'))
      await untilServed(named('third'))
      assert.equal(await stream.echo('still here'), 'still here')
      stream.close()
    }))

  test('[O9] a key of another certificate changes nothing; the next right pair is served', () =>
    whileThePodAnswers(async (named) => {
      const before = await ingress.certificateName()
      const stream = await ingress.open(PATH)
      await ingress.renewCertificate(named('broken'), 'first')
      await delay(LOOKED_AT_MS)
      assert.equal(await ingress.certificateName(), before)
      assert.equal(await stream.echo('still here'), 'still here')
      await ingress.renewCertificate(named('fourth'))
      await untilServed(named('fourth'))
      assert.equal(await stream.echo('still here'), 'still here')
      stream.close()
    }))
})
