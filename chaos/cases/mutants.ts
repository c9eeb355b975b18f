// mutants: the seven breakages that would make a fleet lie, each of which a named run must notice. Rules:
// MT1: a breakage is the smallest text that brings the fault about; chaos/mutant.ts says how it is applied and judged.
// MT2: its run is the shortest one that sees it: a test file (on the real store where it is about the store), or a short chaos run.

import { judgeMutants, type Mutant } from '../mutant.ts'
import type { ChaosCase, ChaosRun, Outcome } from '../run.ts'
import { exactly } from '../run.ts'

const LUA = 'src/store/leases/lua'
/** A suite whose failed test left a connection open would stay for ever: it ends when its last test has. */
const suite = (path: string): readonly string[] => ['--test', '--test-force-exit', '--test-timeout=60000', path]
/** The bound of a short chaos run: of two pods each has calls, whichever is frozen. */
const CHAOS_MS_MAX = 240_000
const LEASES = suite('test/store/leases.test.ts')

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'counters in place of leases: what a dead pod held is never given back',
    file: `${LUA}/6-upkeep.lua`,
    find: '  for _, sid in ipairs(gone) do dropLease(cell, leaseOf(cell, sid)) end\n',
    replace: '',
    run: LEASES,
  },
  {
    name: 'no boot gate: an emptied store admits at once',
    file: `${LUA}/1-cell.lua`,
    find: 'local function isRecovering(cell) return cell.recov == nil or cell.now < cell.recov end',
    replace: 'local function isRecovering(cell) return false end',
    run: suite('test/store/leases-redis.test.ts'),
  },
  {
    name: 'a tag for each ticket: who hung up has used up his tenant’s turn',
    file: `${LUA}/3-line.lua`,
    find: "  if redis.call('HEXISTS', key(cell, 'QH'), tenant) == 0 then stampTenant(cell, tenant) end\n",
    replace: [
      "  local tag = (tonumber(redis.call('HGET', key(cell, 'QH'), tenant)) or cell.clock) + 1 / tenantLimit(cell, tenant).weight",
      "  redis.call('HSET', key(cell, 'QH'), tenant, tag)",
      "  fileTenant(cell, tenant, tag, callsOf(cell, 'T', tenant))\n",
    ].join('\n'),
    run: LEASES,
  },
  {
    name: 'the model’s tool call id as the key of an effect',
    file: 'src/call-control/tool-ledger.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of the program
    find: 'const key = `${this.#parts.callId}:${turn}:${this.#ordinal}`',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of the program
    replace: 'const key = `${this.#parts.callId}:${toolCallId}:${turn}`',
    run: suite('chaos/tool-keys.test.ts'),
  },
  {
    name: 'no epoch in the WHERE of an intent: a pod that lost its call may still act',
    file: 'src/store/records/statements.ts',
    find: "where call_sid = $1 and epoch <= $2::bigint and state = 'live'\n  returning call_sid, epoch, event_count\n",
    replace: "where call_sid = $1 and state = 'live'\n  returning call_sid, epoch, event_count\n",
    run: suite('test/store/records.test.ts'),
  },
  {
    name: 'a proxy that keeps the sockets of a dead pod',
    file: 'tools/fleet/haproxy-config.ts',
    find: ' on-marked-down shutdown-sessions',
    replace: '',
    run: ['chaos/main.ts', 'freeze-pod', '--calls=32', '--pods=2', '--rounds=6'],
    maxMs: CHAOS_MS_MAX,
  },
  {
    name: 'a stale snapshot of the load: the pod that looked emptiest takes everybody',
    file: `${LUA}/2-pods.lua`,
    find: "    redis.call('ZADD', key(cell, 'PR'), calls + entry.penalty, pod)",
    replace: "    redis.call('ZADD', key(cell, 'PR'), entry.penalty, pod)",
    run: LEASES,
  },
]

async function runMutants(run: ChaosRun): Promise<Outcome> {
  const sentences = await judgeMutants(MUTANTS, (text) => run.note(text))
  const caught = sentences.filter(({ verdict }) => verdict === 'caught').length
  return {
    samples: { mutants: sentences.length },
    figures: { sentences },
    checks: [exactly('mutants caught', caught, MUTANTS.length)],
    generator: { p99Ms: null, maxMs: null, isLate: false },
  }
}

export const mutants: ChaosCase = {
  faults: '–',
  text: 'breaks the program in seven ways, one at a time, and shows which run goes red',
  run: runMutants,
}
