// How fast the records take checkpoints: batches of 50 of 4 kB into a real Postgres with fsync, direct and through pgbouncer. Rules:
// RB1: the ways take turns within each round, on the same server and the same rows; the median of the rounds counts.
// RB2: a writer has one batch in flight, as a pod has; the fleet is WRITERS of them, each with its own calls and its own pool.
// RB3: after each window the rows are read back: what was acknowledged last must be what stands.
import type { CallRecords, CheckpointWrite } from '../../src/control/records.ts'
import { type CallSid, newCallId } from '../../src/kit/ids.ts'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { openRecords } from '../../src/store/records/open.ts'
import { startPgbouncer } from '../../tools/servers/pgbouncer.ts'
import { startPostgres } from '../../tools/servers/postgres.ts'
import { atMost, type Bench, type BenchCase } from '../runner/bench.ts'
import { medianOf } from '../runner/load.ts'
import { atLeastScaled, besideReference, type MachineSpeed } from '../runner/reference.ts'

const CALLS = 1_000
const SECONDS = 4
const ROUNDS = 3
const WRITERS = 8
const BATCH = 50
const TEXT_BYTES = 4_096
const CHECKED_CALLS = 20
/** A cell of 8 000 calls with a checkpoint each seven seconds. */
const NEEDED_PER_SECOND = 1_150

type Way = { name: 'direct' | 'pgbouncer'; writers: number; fleet: CallRecords[]; windows: Window[] }
type Window = { perSecond: number; p50Ms: number; p95Ms: number; maxMs: number; wrong: number }

export const records: BenchCase = {
  text: `checkpoints a second into Postgres in batches of ${BATCH} of ${TEXT_BYTES / 1_024} kB, direct and through pgbouncer`,
  run: async (bench) => {
    const calls = Math.max(bench.options.calls ?? CALLS, WRITERS * BATCH)
    const seconds = bench.options.seconds ?? SECONDS
    const rounds = bench.options.rounds ?? ROUNDS
    const urls = await startServers(bench)
    const sids = await openCalls(bench, urls.direct, calls)
    const ways: Way[] = []
    for (const writers of [1, WRITERS])
      for (const name of ['direct', 'pgbouncer'] as const)
        ways.push({ name, writers, fleet: await openFleet(bench, urls[name], writers), windows: [] })
    const clock = { sequence: 0 }
    const { machine } = await besideReference(bench, async () => {
      for (let round = 1; round <= rounds; round++) {
        for (const way of ways) {
          const window = await measure(way, sids, seconds, clock)
          way.windows.push(window)
          const { perSecond, p50Ms, p95Ms } = window
          bench.note(
            `round ${round} of ${rounds}: ${way.name}, ${way.writers} at once: ${perSecond.toFixed(0)} checkpoints/s, a batch ${p50Ms.toFixed(1)} ms (p95 ${p95Ms.toFixed(1)})`,
          )
        }
      }
    })
    return resultOf(ways, { calls, seconds, rounds }, machine)
  },
}

async function startServers(bench: Bench): Promise<{ direct: string; pgbouncer: string }> {
  const postgres = await startPostgres()
  bench.atEnd(() => postgres.stop())
  const pgbouncer = await startPgbouncer({ postgresPort: postgres.port, poolSize: WRITERS })
  bench.atEnd(() => pgbouncer.stop())
  await runMigrations(postgres.url)
  return { direct: postgres.url, pgbouncer: pgbouncer.url }
}

async function openFleet(bench: Bench, url: string, writers: number): Promise<CallRecords[]> {
  const fleet: CallRecords[] = []
  for (let i = 0; i < writers; i++) {
    const one = await openRecords({ kind: 'postgres', url, poolMax: 1, timeoutMs: 10_000 })
    bench.atEnd(() => one.close())
    fleet.push(one)
  }
  return fleet
}

async function openCalls(bench: Bench, url: string, calls: number): Promise<CallSid[]> {
  const store = await openRecords({ kind: 'postgres', url })
  bench.atEnd(() => store.close())
  const sids = Array.from({ length: calls }, (_, i) => `CA${i.toString(16).padStart(32, '0')}` as CallSid)
  const call = { tenant: 'acme', from: '+15550100', to: '+15550199', direction: 'inbound', pack: 'clinic' } as const
  for (let from = 0; from < calls; from += 100) {
    const some = sids.slice(from, from + 100)
    const held = { packVersion: '1', epoch: 1, pod: 'pod-a', pool: 'main' }
    await Promise.all(some.map((callSid) => store.open({ callId: newCallId(), callSid, ...call, ...held })))
  }
  return sids
}

/** [RB2] */
async function measure(way: Way, sids: CallSid[], seconds: number, clock: { sequence: number }): Promise<Window> {
  const untilMs = performance.now() + seconds * 1_000
  const tookMs: number[] = []
  const last = new Map<CallSid, string>()
  let written = 0
  const startedMs = performance.now()
  await Promise.all(
    way.fleet.map(async (store, writer) => {
      const mine = sids.filter((_, i) => i % way.writers === writer)
      for (let at = 0; performance.now() < untilMs; at = (at + BATCH) % mine.length) {
        const sequence = ++clock.sequence
        const some = [...mine.slice(at, at + BATCH), ...mine.slice(0, Math.max(0, at + BATCH - mine.length))]
        const batch = some.map((callSid) => checkpointOf(callSid, sequence))
        const sentMs = performance.now()
        const fenced = await store.save(batch)
        tookMs.push(performance.now() - sentMs)
        if (fenced.length > 0) throw new Error(`${fenced.length} checkpoints were fenced`)
        written += batch.length
        for (const { callSid, text } of batch) last.set(callSid, text)
      }
    }),
  )
  const tookS = (performance.now() - startedMs) / 1_000
  tookMs.sort((a, b) => a - b)
  const at = (share: number) => tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * share))]!
  const wrong = await countWrong(way.fleet[0]!, last)
  return { perSecond: written / tookS, p50Ms: at(0.5), p95Ms: at(0.95), maxMs: tookMs.at(-1)!, wrong }
}

/** [RB3] */
async function countWrong(store: CallRecords, last: Map<CallSid, string>): Promise<number> {
  let wrong = 0
  for (const [callSid, text] of [...last].slice(0, CHECKED_CALLS))
    if ((await store.find(callSid))?.checkpoint !== text) wrong++
  return wrong
}

/** Text as a checkpoint has it: items of a transcript, filled up to its size. */
function checkpointOf(callSid: CallSid, sequence: number): CheckpointWrite {
  const items: string[] = []
  for (let bytes = 0, i = 0; bytes < TEXT_BYTES; i++) {
    const item = `{"role":"${i % 2 === 0 ? 'caller' : 'agent'}","itemId":"item_${sequence}_${i}","text":"turn ${i} of ${callSid.slice(-6)}, heard ${(sequence * 7_919 + i * 104_729) % 100_003} ms"}`
    items.push(item)
    bytes += item.length
  }
  return { callSid, epoch: 1, sequence, text: items.join(',').slice(0, TEXT_BYTES) }
}

function resultOf(ways: Way[], options: { calls: number; seconds: number; rounds: number }, machine: MachineSpeed) {
  const of = (way: Way, pick: (one: Window) => number) => medianOf(way.windows.map(pick))
  const speed = (name: Way['name'], writers: number) => {
    const way = ways.find((one) => one.name === name && one.writers === writers)
    return way === undefined ? null : of(way, (one) => one.perSecond)
  }
  const wrong = ways.flatMap((way) => way.windows).reduce((sum, one) => sum + one.wrong, 0)
  return {
    figures: {
      ways: ways.map((way) => ({
        way: way.name,
        batchesAtOnce: way.writers,
        checkpointsPerSecond: of(way, (one) => one.perSecond),
        ofEachRound: way.windows.map((one) => Math.round(one.perSecond)),
        batchP50Ms: of(way, (one) => one.p50Ms),
        batchP95Ms: of(way, (one) => one.p95Ms),
        batchMaxMs: of(way, (one) => one.maxMs),
      })),
      batch: BATCH,
      textBytes: TEXT_BYTES,
      machine,
    },
    samples: { ...options, checkedAfterEachWindow: CHECKED_CALLS },
    generator: null,
    checks: [
      atLeastScaled('checkpoints a second, direct, one writer', speed('direct', 1), NEEDED_PER_SECOND, machine),
      atLeastScaled('checkpoints a second, pgbouncer, one writer', speed('pgbouncer', 1), NEEDED_PER_SECOND, machine),
      atLeastScaled(
        'checkpoints a second, direct, eight writers',
        speed('direct', WRITERS),
        NEEDED_PER_SECOND,
        machine,
      ),
      atLeastScaled(
        'checkpoints a second, pgbouncer, eight writers',
        speed('pgbouncer', WRITERS),
        NEEDED_PER_SECOND,
        machine,
      ),
      atMost('rows that are not what was acknowledged last', wrong, 0),
    ],
  }
}
