// A real fleet: what it starts, what it survives, and that nothing of it is left.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startTwilioSim } from '../../sim/twilio/sim.ts'
import { until } from '../../src/kit/testing/patience.ts'
import { type Fleet, startFleet } from '../../tools/fleet/fleet.ts'
import { pickPort } from '../../tools/ports.ts'
import { testEnvironment } from '../../tools/test.ts'

const MAIN = new URL('../../tools/fleet/main.ts', import.meta.url).pathname
/** A fresh store admits nothing for ten seconds. */
const ADMITTED_MAX_MS = 60_000
const LOOK_EVERY_MS = 50

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const pidsOf = ({ pods, workers, redis, postgres, haproxy, model }: Fleet): number[] => [
  ...[...pods, ...workers].map(({ pid }) => pid),
  ...[redis.pid, postgres.pid, haproxy.pid, model!.program.pid],
]

/** The children of this process, from the kernel. */
async function children(): Promise<string[]> {
  const text = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean)
}

/** A call through HAProxy that has its media stream; tries again as long as none is admitted. */
async function callThrough(fleet: Fleet) {
  const carrier = await startTwilioSim({
    accountSid: `AC${'0'.repeat(31)}1`,
    authToken: fleet.env.TWILIO_AUTH_TOKEN!,
    number: '+15005550001',
    voiceUrl: `${fleet.baseUrl}/twilio/voice`,
    wsUrlRewrite: { [fleet.baseUrl.replace('http', 'wss')]: fleet.baseUrl.replace('http', 'ws') },
    verbTimeScale: 0.01,
  })
  const untilMs = performance.now() + ADMITTED_MAX_MS
  while (performance.now() < untilMs) {
    const call = carrier.placeCall({ caller: { steps: [{ stayMs: 60_000 }], maxMs: 65_000 } })
    const first = await Promise.race([once(call, 'stream-opened').then(() => 'open'), call.done.then(() => 'over')])
    if (first === 'open') return { call, carrier }
    await sleep(LOOK_EVERY_MS)
  }
  await carrier.close()
  return assert.fail('no call was admitted')
}

async function podWithStream(fleet: Fleet): Promise<string> {
  return (await fleet.haproxy.states()).find(({ sessions }) => sessions > 0)?.pod ?? 'none'
}

test('[FL1][FP1][FP2] a fleet takes a signed call through HAProxy, survives the loss of its pod and of a worker, and grows', async () => {
  const said: string[] = []
  const fleet = await startFleet({ pods: 2, workers: 1, ceiling: 10, restart: true, say: (line) => said.push(line) })
  let pids = pidsOf(fleet)
  try {
    assert.deepEqual(
      fleet.pods.map(({ name }) => name),
      ['pod-1', 'pod-2'],
    )
    const { call, carrier } = await callThrough(fleet)
    const name = await podWithStream(fleet)
    const pod = fleet.pods.find((one) => one.name === name)
    assert.ok(pod, `HAProxy names no pod of the call: ${name}`)
    const closed = once(call, 'stream-closed')
    const pidBefore = pod.pid
    pod.kill('SIGKILL')
    await closed
    await until('the loss is said', () =>
      said.some((line) => line.startsWith(`${name} (pid ${pidBefore}) ended: SIGKILL`)),
    )
    await until('the pod is up again', () => said.includes(`${name} is up again (pid ${pod.pid})`))
    assert.notEqual(pod.pid, pidBefore)
    await until('HAProxy sees it', async () => (await fleet.haproxy.states()).every(({ state }) => state === 'UP'))
    const [worker] = fleet.workers
    assert.equal((await fetch(`${worker!.url}/ready`)).status, 200)
    const workerPid = worker!.pid
    worker!.kill('SIGKILL')
    await until('the worker is up again', () => said.includes(`worker-1 is up again (pid ${worker!.pid})`))
    assert.notEqual(worker!.pid, workerPid)
    const added = await fleet.addPod()
    assert.equal(added.name, 'pod-3')
    await until('HAProxy sees the new one', async () =>
      (await fleet.haproxy.states()).some(({ pod, state }) => pod === 'pod-3' && state === 'UP'),
    )
    call.hangUp()
    await carrier.close()
    pids = [...pids, ...pidsOf(fleet)]
  } finally {
    await fleet.stop()
  }
  assert.deepEqual(pids.filter(isAlive), [], 'processes of the fleet are left')
})

test('[FL2] a start that fails says why with the log of the part, and leaves nothing', async () => {
  const before = await children()
  await assert.rejects(
    startFleet({ pods: 2, env: { PACK: 'no-such-pack' } }),
    /pod-[12] ended before it was up[\s\S]*no-such-pack/,
  )
  assert.deepEqual(await children(), before)
})

/** The process ids of the table that `npm run fleet` prints. Its columns are as wide as their widest entry. */
function pidsIn(table: string): number[] {
  return [...table.matchAll(/ (\d+)(?: {2,}\S+\.log)?$/gm)].map((match) => Number(match[1]))
}

describe('npm run fleet', { concurrency: 2 }, () => {
  const start = (args: string[], env = {}): { child: ChildProcess; out: () => string; err: () => string } => {
    const child = spawn(process.execPath, [MAIN, ...args], { env: { ...testEnvironment(process.env), ...env } })
    let out = ''
    let err = ''
    child.stdout.on('data', (part) => (out += String(part)))
    child.stderr.on('data', (part) => (err += String(part)))
    return { child, out: () => out, err: () => err }
  }

  test('[FM2][FM3] prints what listens where, refuses a taken port, drains at Ctrl-C, ends everything at the second, exit code 0', async () => {
    const logs = await mkdtemp(join(tmpdir(), 'voiceplane-fleet-test-'))
    const port = await pickPort()
    const { child, out, err } = start(['--pods', '1', '--port', String(port), '--logs', logs])
    const exit = once(child, 'exit')
    try {
      await until('the table', () => out().includes('Place ten calls') || child.exitCode !== null)
      assert.match(out(), new RegExp(`HAProxy.+http://127\\.0\\.0\\.1:${port}`), err())
      assert.match(out(), /TWILIO_AUTH_TOKEN=[0-9a-f]{32} npm run load -- --url http:/)
      const pods = /pod-1 +(http:\S+) +(\d+) +pod-1\.log/.exec(out())!
      const worker = /worker-1 +(http:\S+) +\d+ +worker-1\.log/.exec(out())!
      for (const one of [pods, worker]) assert.equal((await fetch(`${one[1]}/ready`)).status, 200)
      assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 404)
      assert.match(await readFile(join(logs, 'pod-1.log'), 'utf8'), /the edge is listening/)
      const pids = pidsIn(out())
      assert.equal(pids.length, 6, out())
      const second = start(['--pods', '1', '--port', String(port), '--logs', logs])
      assert.deepEqual(await once(second.child, 'exit'), [1, null])
      assert.match(second.err(), /is taken: choose another with --port/)
      child.kill('SIGINT')
      await until('it says that it drains', () => err().includes('draining: live calls go on'))
      assert.ok(isAlive(Number(pods[2])), 'the pod was not given time to drain')
      child.kill('SIGINT')
      assert.deepEqual(await exit, [0, null], err())
      assert.match(err(), /everything has ended/)
      assert.deepEqual(pids.filter(isAlive), [])
    } finally {
      child.kill('SIGKILL')
      await exit
      await rm(logs, { recursive: true, force: true })
    }
  })

  test('[FG2] a fleet whose starter is killed ends too', async () => {
    const logs = await mkdtemp(join(tmpdir(), 'voiceplane-fleet-test-'))
    // Folders of the parts are inside, for nobody else removes them; PostgreSQL's own user must come there.
    await chmod(logs, 0o755)
    const { child, out } = start(['--pods', '1', '--port', String(await pickPort()), '--logs', logs], { TMPDIR: logs })
    try {
      await until('the table', () => out().includes('Place ten calls') || child.exitCode !== null)
      const pids = pidsIn(out())
      assert.equal(pids.length, 6, out())
      child.kill('SIGKILL')
      await until('all have gone', () => !pids.some(isAlive))
    } finally {
      child.kill('SIGKILL')
      await rm(logs, { recursive: true, force: true })
    }
  })
})
