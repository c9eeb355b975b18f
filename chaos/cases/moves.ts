// moves: pods are killed and drained and links cut while callers are led through handoffs, tools of equal names, approvals, edits of the
// history and a guardrail. Rules:
// MV1: what counts is what the model simulator received (witness/agent-story.ts): agent, tools, voice and history after a move are those
//      before, and a tool runs at the agent that it belongs to.
// MV2: faults take turns: a kill, a cut of all model links, a drain. A drained pod is started again when it has exited.
// MV3: no pod may log an error, nor anything that is no log line.
// MV4: callers come in WAVES of CALLS_AT_ONCE, each through ROUNDS faults: carrier, model and fleet share one machine, and 300 calls at
//      once leave two cores nothing to spare. A machine that is full is judged by `overload`, not here.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Ground, layGround } from '../ground.ts'
import { atLeast, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, inWaves } from '../scene.ts'
import { readAgents } from '../witness/agent-story.ts'
import { readLogs } from '../witness/log-lines.ts'

const CALLS_AT_ONCE = 100
const WAVES = 3
const ROUNDS = 9
const SINK_MS_MAX = 4_000
const BETWEEN_MS = 12_000
const DRAIN_MS_MAX = 120_000
const LEFT_MS = 20_000
const BLOCKS = 80
const LOG_LINES_SHOWN = 3
const AGENT_MODULE = fileURLToPath(new URL('../agents/desks.ts', import.meta.url))

/** A caller's turns: to another desk, its tools, a word that the guardrail does not allow, and on. */
function desksScript(): unknown {
  const turns: unknown[] = [{ say: 'Hello, this is reception. What can I do for you?' }]
  let step = 0
  for (let block = 0; block < BLOCKS; block += 1) {
    const to = ['Billing', 'Support', 'Reception'][block % 3]!
    turns.push(
      {
        call: { name: `transfer_to_${to}`, arguments: { leg: block } },
        thenSay: `This is ${to}. Tell me more, please.`,
      },
      { call: { name: 'lookup', arguments: { step: ++step } }, thenSay: 'I have found it. What else?' },
      {
        say:
          block % 4 === 3
            ? 'It is guaranteed that all will be well, whatever may come of it.'
            : 'Yes, that is so. Go on, please.',
      },
      { call: { name: 'refund', arguments: { step: ++step } }, thenSay: 'The money is on its way. What else?' },
    )
  }
  return { name: 'desks', matchTools: ['lookup', 'refund'], turns }
}

async function runMoves(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? CALLS_AT_ONCE
  const rounds = run.asked.rounds ?? ROUNDS
  const ground = await layGround(run, {
    pods: run.asked.pods ?? 3,
    ceiling: calls,
    slack: calls,
    sinkDelayMs: () => Math.floor(run.random() * SINK_MS_MAX),
    agent: { module: AGENT_MODULE, script: desksScript() },
  })
  const done = { waves: 0, kill: 0, cut: 0, drain: 0 }
  const ending = await inWaves(
    run,
    ground,
    calls,
    () => done.waves >= WAVES,
    async (callers) => {
      done.waves += 1
      for (let round = 0; round < rounds; round += 1) {
        const fault = (['kill', 'cut', 'drain'] as const)[round % 3]!
        await sleep(run.between(0, 4_000))
        await strike(run, ground, fault)
        done[fault] += 1
        await ground.sessionsReach(callers.tally().live, LEFT_MS)
        run.note(
          `wave ${done.waves} of ${WAVES}, round ${round + 1} of ${rounds}: ${fault}; ${callers.tally().live} calls live`,
        )
        await sleep(BETWEEN_MS)
      }
    },
  )
  return judge(run, calls * WAVES, calls, done, ending)
}

/** [MV2] */
async function strike(run: ChaosRun, ground: Ground, fault: 'kill' | 'cut' | 'drain'): Promise<void> {
  if (fault === 'cut') {
    await ground.orderModel({ act: { kind: 'drop' } })
    return
  }
  const pod = run.pick(ground.fleet.pods)
  run.faults.note(fault === 'kill' ? 'kill' : 'term', pod.name)
  pod.kill(fault === 'kill' ? 'SIGKILL' : 'SIGTERM')
  const bound = new AbortController()
  await Promise.race([pod.exited, sleep(DRAIN_MS_MAX, undefined, { signal: bound.signal }).catch(() => undefined)])
  bound.abort()
  run.faults.note('restart', pod.name)
  await pod.restart()
}

async function judge(
  run: ChaosRun,
  calls: number,
  atOnce: number,
  done: Record<string, number>,
  ending: Ending,
): Promise<Outcome> {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling: atOnce, overBound: atOnce })
  const logs = await readLogs(run.folder)
  const sids = new Map([...history.calls].map(([number, story]) => [number, story.callSid]))
  const agents = readAgents(logs.model, logs.sink, (call) => sids.get(call))
  const { breaches, ...counts } = agents
  for (const text of breaches.slice(0, 20)) run.note(`breach: ${text}`)
  const errors = await errorsIn(join(run.folder, 'fleet'))
  for (const text of errors.slice(0, LOG_LINES_SHOWN)) run.note(`logged: ${text.slice(0, 300)}`)
  return {
    samples: { calls: history.calls.size, atOnce, ...done, moves: counts.pairs, toolsJudged: counts.owners },
    figures: {
      ...counts,
      agentBreaches: breaches.slice(0, 20),
      errorsLogged: errors.length,
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('calls', history.calls.size, calls),
      atLeast('pairs of sessions judged', counts.pairs, calls / 2),
      atLeast('moves after a handoff', counts.afterHandoff, 1),
      atLeast('tools whose owner was judged', counts.owners, calls),
      exactly('agents, voices, histories or owners that are others after a move', breaches.length, 0),
      exactly('effects that happened twice', history.effects.duplicates, 0),
      exactly('errors in the logs of pods', errors.length, 0),
      exactly('slots leaked after the last call', leaked, 0),
    ],
    generator,
  }
}

/** [MV3] */
async function errorsIn(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((name) => /^pod-\d+\.log$/.test(name))
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== '' && isError(line)))
}

function isError(line: string): boolean {
  try {
    return (JSON.parse(line) as { level?: unknown }).level === 'error'
  } catch {
    return true
  }
}

export const moves: ChaosCase = {
  faults: 'F01 F06 F26',
  text: 'pods killed and drained and links cut amid handoffs, tools, approvals, edits and guardrails: the agent goes on as it was',
  run: runMoves,
}
