// Two model pools: calls follow the weights, and go on in the other one when theirs is full, dead or refuses the key.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { StartOptions } from '../sim/openai/sim.ts'
import { type Launched, launch } from '../tools/launch.ts'
import { LISTEN, Plane, type PlaneParts, stay, type WitnessLine } from './plane.ts'

const KEY = 'the-key-of-the-other-pool'
const FAILOVER_MAX_MS = 3_000
/** The witness log is flushed each 250 ms. */
const WITNESS_FLUSH_MS = 350
const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n)

type PoolSpec = { pool: string; callsMax: number; weight?: number }
type TwoPools = {
  own?: Partial<PoolSpec>
  other?: Partial<PoolSpec>
  model?: StartOptions
  /** Flags of the other pool's simulator. */
  flags?: string[]
  env?: Record<string, string>
}

/** The simulator of the other pool: a process of its own. */
class OtherModel {
  readonly url: string
  readonly #program: Launched
  readonly #witnessFile: string
  private constructor(url: string, program: Launched, witnessFile: string) {
    this.url = url
    this.#program = program
    this.#witnessFile = witnessFile
  }
  static async start(folder: string, flags: readonly string[]): Promise<OtherModel> {
    const readyFile = join(folder, 'ready.json')
    const witnessFile = join(folder, 'other.jsonl')
    const text = () => readFile(readyFile, 'utf8').catch(() => '')
    const program = await launch({
      name: 'other-model',
      command: process.execPath,
      args: ['sim/openai/main.ts', '--witness', witnessFile, '--ready-file', readyFile, '--think-ms', '100', ...flags],
      logFile: join(folder, 'other.log'),
      isReady: async () => (await text()).includes('\n'),
    })
    const { url } = JSON.parse(await text()) as { url: string }
    return new OtherModel(url, program, witnessFile)
  }
  async witness(): Promise<WitnessLine[]> {
    await new Promise((resolve) => setTimeout(resolve, WITNESS_FLUSH_MS))
    const lines = (await readFile(this.#witnessFile, 'utf8').catch(() => '')).split('\n')
    return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as WitnessLine)
  }
  async die(): Promise<void> {
    await this.#program.stop({ signal: 'SIGKILL' })
  }
}

const count = (log: WitnessLine[], name: string): number => log.filter(({ event }) => event === name).length

/** A plane with the pools `own` (its own provider) and `other`. */
async function withPools(parts: TwoPools, journey: (plane: Plane, other: OtherModel) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-pools-'))
  const other = await OtherModel.start(folder, parts.flags ?? [])
  try {
    const endpoint = { kind: 'openai', url: other.url, keyVariable: 'POOL_KEY_OF_TESTS' }
    const pools = [
      { pool: 'own', callsMax: 50, connectsPerSecond: 1_000, ...parts.own },
      { pool: 'other', callsMax: 50, connectsPerSecond: 1_000, ...parts.other, endpoint },
    ]
    const limitsFile = join(folder, 'limits.json')
    await writeFile(limitsFile, JSON.stringify({ pools }))
    const plane: PlaneParts = {
      env: { LIMITS_FILE: limitsFile, ...parts.env },
      ...(parts.model === undefined ? {} : { model: parts.model }),
    }
    await Plane.with(plane, (opened) => journey(opened, other))
  } finally {
    await other.die()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Places `many` calls at once that listen for `ms`. */
const place = (plane: Plane, many: number, ms: number) =>
  Array.from({ length: many }, () => plane.carrier.placeCall({ caller: stay(ms) }).done)

process.env.POOL_KEY_OF_TESTS = KEY
after(() => {
  delete process.env.POOL_KEY_OF_TESTS
})

describe('two model pools', { concurrency: 3 }, () => {
  test('calls are shared as the weights say', () =>
    withPools({ own: { weight: 1 }, other: { weight: 2 } }, async (plane, other) => {
      const reports = await Promise.all(place(plane, 9, 2_500))
      assert.deepEqual(
        reports.map(({ wasDropped, agentPlayedMs }) => !wasDropped && agentPlayedMs > 0),
        new Array(9).fill(true),
      )
      assert.equal(count(await plane.witness(), 'session_opened'), 3)
      assert.equal(count(await other.witness(), 'session_opened'), 6)
      assert.equal(await plane.counter('voice_model_connects_total{pool="other",outcome="accepted"}'), 6)
    }))

  test('[LIMIT-2][CR1] [MP2] a pool that refuses with 429 is left by the calls it refuses, its ceiling is learnt, and new calls avoid it', () =>
    withPools({ model: { ceiling: 2 } }, async (plane, other) => {
      const first = place(plane, 10, 9_000)
      await plane.until(() => plane.calls().filter(({ state }) => state.model.kind === 'ready').length === 10)
      assert.equal(plane.model.liveSessions(), 2)
      assert.equal(count(await other.witness(), 'session_opened'), 8)
      const ceiling = await plane.counter('voice_model_pool_ceiling{pool="own"}')
      assert.ok(ceiling >= 1 && ceiling <= 5, `the ceiling is taken for ${ceiling}`)
      const refusals = count(await plane.witness(), 'session_refused')
      // As many as were granted a place there before the store heard of the first refusal.
      assert.ok(refusals >= 1 && refusals <= 5, `${refusals} were refused`)
      await new Promise((resolve) => setTimeout(resolve, 2_500))
      const then = await Promise.all(place(plane, 6, 1_500))
      const reports = [...then, ...(await Promise.all(first))]
      assert.deepEqual(
        reports.filter(({ wasDropped, agentPlayedMs }) => wasDropped || agentPlayedMs === 0),
        [],
      )
      assert.ok(
        count(await plane.witness(), 'session_refused') <= refusals + 1,
        'the full pool was asked again and again',
      )
    }))

  test('[MODEL-6][CR1] a pool that dies: its calls go on in the other one within 3 s', () =>
    withPools({ own: { weight: 1 }, other: { weight: 3 } }, async (plane, other) => {
      const calls = place(plane, 8, 8_000)
      const isReady = () => plane.calls().every(({ state }) => state.model.kind === 'ready')
      await plane.until(() => plane.calls().length === 8 && isReady())
      await new Promise((resolve) => setTimeout(resolve, 600))
      const before = plane.model.liveSessions()
      assert.equal(before, 2)
      const diedUs = nowUs()
      await other.die()
      await plane.until(() => plane.model.liveSessions() === 8 && isReady())
      const reports = await Promise.all(calls)
      assert.deepEqual(
        reports.filter(({ wasDropped }) => wasDropped),
        [],
      )
      const opened = (await plane.witness()).filter(({ event, t }) => event === 'session_opened' && Number(t) > diedUs)
      const ms = opened.map(({ t }) => (Number(t) - diedUs) / 1_000)
      assert.equal(ms.length, 6)
      assert.ok(Math.max(...ms) <= FAILOVER_MAX_MS, `the calls were back after ${ms.map(Math.round).join(', ')} ms`)
      assert.deepEqual([...new Set(plane.ended.map(({ cause }) => cause))], ['caller-hung-up'])
    }))

  test('[MODEL-7][CR4] a pool that refuses the key: its calls are served by the other one, and it is not asked by each of them', () =>
    withPools({ other: { weight: 100 }, flags: ['--bad-key', KEY] }, async (plane, other) => {
      const report = await plane.call(LISTEN)
      assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []])
      const reports = await Promise.all(place(plane, 4, 1_500))
      assert.deepEqual(
        reports.filter(({ wasDropped, agentPlayedMs }) => wasDropped || agentPlayedMs === 0),
        [],
      )
      assert.equal(count(await plane.witness(), 'session_opened'), 5)
      assert.equal(count(await other.witness(), 'session_refused'), 1)
    }))

  test('[MODEL-7][CR4] two pools that refuse the key: the call is given up with a sentence', () =>
    withPools({ flags: ['--bad-key', KEY], model: { badKeys: ['a-key-for-tests'] } }, async (plane) => {
      const report = await plane.call({ ...stay(9_000), isEndedByAgent: true })
      assert.deepEqual(
        report.verbs.slice(-2).map(({ verb }) => verb),
        ['Say', 'Hangup'],
      )
      assert.equal(plane.ended[0]!.cause, 'model-refused')
      assert.equal(count(await plane.witness(), 'session_refused'), 1)
    }))
})

describe('two model pools, one of which answers nobody', () => {
  test('[TALK-5][P6] [CR1] a call whose answers all fail in its pool is answered in the other one', () =>
    withPools({ own: { weight: 1_000 } }, async (plane, other) => {
      plane.model.faults.badAnswers = Array.from({ length: 50 }, () => ({ kind: 'failed', code: 'server_error' }))
      const report = await plane.call(stay(9_000))
      assert.equal(report.wasDropped, false)
      assert.deepEqual(
        [count(await plane.witness(), 'session_opened'), count(await other.witness(), 'session_opened')],
        [2, 1],
      )
      assert.equal(await plane.counter('voice_turn_outcomes_total{outcome="answered-after-move"}'), 1)
    }))
})
