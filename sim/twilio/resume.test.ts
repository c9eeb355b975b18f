import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { FakePlane } from './testing/fake-plane.ts'
import { pairs } from './testing/pair.ts'

const pair = pairs(after)
const AGENT = Buffer.alloc(160 * 25, 0x90)

/** Every document connects again, to another pod each time. */
function connectsAlways(plane: FakePlane): void {
  let n = 0
  plane.onRequest = (seen) =>
    seen.path === '/voice' || seen.path.startsWith('/next')
      ? {
          body: `<Response><Connect action="${plane.base}/next?pod=p${n}"><Stream url="${plane.wsBase}/media/p${++n}/c/t"/></Connect><Redirect>${plane.base}/next</Redirect></Response>`,
        }
      : { body: '<Response/>' }
}

async function logOf(path: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(path, 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe('a call whose streams break', { concurrency: true }, () => {
  test('asks its action and opens another stream, as often as it happens, and is not dropped', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'resume-test-'))
    const witnessPath = join(folder, 'carrier.jsonl')
    const { plane, sim } = await pair((one) => ({
      witnessPath,
      afterStream: { actionMs: 100, openMs: 80 },
      statusCallback: `${one.base}/status`,
    }))
    connectsAlways(plane)
    const brokenAtMs: number[] = []
    plane.onStream = (stream) => {
      stream.say(AGENT)
      if (plane.streams.length > 3) return
      setTimeout(() => {
        brokenAtMs.push(performance.now())
        stream.socket.terminate()
      }, 150)
    }
    const report = await sim.placeCall({ caller: { steps: [{ stayMs: 2500 }], maxMs: 5000 } }).done
    await sim.close()
    assert.deepEqual(
      [report.streams, report.resumes, report.wasDropped, report.endCause],
      [4, 3, false, 'caller-hung-up'],
    )
    const actions = plane.requests.filter(({ path }) => path.startsWith('/next'))
    assert.deepEqual(
      actions.map(({ path }) => path),
      ['/next?pod=p0', '/next?pod=p1', '/next?pod=p2'],
    )
    for (const [i, { atMs }] of actions.entries()) {
      const delayMs = atMs - brokenAtMs[i]!
      assert.ok(delayMs >= 95 && delayMs < 400, `action after ${delayMs} ms`)
      const opened = plane.streams[i + 1]!.messages[0]!.atMs - atMs
      assert.ok(opened >= 75 && opened < 400, `stream after ${opened} ms`)
    }
    assert.equal(plane.requests.at(-1)?.path, '/status')
    const lines = await logOf(witnessPath)
    const numbers = (event: string): unknown[] =>
      lines.filter((line) => line.event === event).map((line) => line.stream ?? line.afterStream)
    assert.deepEqual(numbers('stream-opened'), [1, 2, 3, 4])
    assert.deepEqual(numbers('stream-closed'), [1, 2, 3, 4])
    assert.deepEqual(numbers('stream-heard'), [1, 2, 3, 4])
    assert.deepEqual(numbers('action-requested'), [1, 2, 3])
    const heard = lines.filter((line) => line.event === 'agent-heard')
    const lastMs = (Number(heard.at(-1)?.toUs) - Number(heard.at(-1)?.fromUs)) / 1000
    assert.ok(lastMs > 400 && lastMs < 700, `half a second of the agent was heard as ${lastMs} ms`)
    await rm(folder, { recursive: true })
  })

  test('goes on through a pod that refuses the stream, and hangs up when the caller does', async () => {
    const { plane, sim } = await pair({ afterStream: { actionMs: 50, openMs: 50 } })
    connectsAlways(plane)
    plane.refuseUpgrade = (request) => (request.url?.includes('/p2/') === true ? 503 : undefined)
    plane.onStream = (stream) => {
      if (plane.streams.length === 1) stream.socket.terminate()
    }
    const report = await sim.placeCall({ caller: { steps: [{ stayMs: 1000 }], maxMs: 3000 } }).done
    assert.deepEqual([report.streams, report.resumes, report.wasDropped], [2, 1, false])
    assert.equal(plane.requests.filter(({ path }) => path.startsWith('/next')).length, 2)
  })

  test('is a drop when the caller hangs up before another stream is there', async () => {
    const { plane, sim } = await pair({ afterStream: { actionMs: 2000, openMs: 0 } })
    connectsAlways(plane)
    plane.onStream = (stream) => stream.socket.terminate()
    const report = await sim.placeCall({ caller: { steps: [{ stayMs: 300 }], maxMs: 3000 } }).done
    assert.deepEqual([report.streams, report.resumes, report.wasDropped], [1, 0, true])
    assert.ok(plane.requests.every(({ path }) => !path.startsWith('/next')))
  })

  test('is asked again when the action answers 503 and its URL wants retries', async () => {
    const { plane, sim } = await pair()
    let refusals = 2
    const twiml = (after: string): string =>
      `<Response><Connect action="${plane.base}/next#rc=3&amp;rp=all"><Stream url="${plane.wsBase}/media/p1/c/t"/></Connect>${after}</Response>`
    plane.onRequest = (seen) => {
      if (seen.path === '/next' && refusals-- > 0) return { status: 503, body: '' }
      return { body: twiml('') }
    }
    plane.onStream = (stream) => {
      if (plane.streams.length === 1) stream.socket.terminate()
    }
    const report = await sim.placeCall({ caller: { steps: [{ stayMs: 600 }], maxMs: 3000 } }).done
    assert.deepEqual([report.streams, report.wasDropped], [2, false])
    assert.equal(plane.requests.filter(({ path }) => path === '/next').length, 3)
  })
})
