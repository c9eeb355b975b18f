// The ground of a run: a model simulator with a ceiling, a sink for effects, a fleet of pods, and callers. Rules:
// GR1: the ceiling stands twice: the fleet is told it as its limit, and the model simulator refuses above it plus `slack`, so that
//      a breach is seen by the simulator and not only counted.
// GR2: the connects a second that a pool allows are part of the ground and stated: a pod's calls come back no faster than that.
// GR3: the simulated model leads each call through numbered steps by a script (`stepScript`), so that an effect has a name that no
//      part of the plane has made.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild } from '../bench/runner/child.ts'
import { type Fleet, type FleetOptions, startFleet } from '../tools/fleet/fleet.ts'
import type { SourceLimits } from '../tools/fleet/haproxy-config.ts'
import type { ChaosRun } from './run.ts'
import { type Sink, startSink } from './sink.ts'

const STEPS = 400
const POLL_MS = 50
const CONNECTS_PER_SECOND = 50
/** What a connection to the model takes; the real one was seen to take 300 ms and more. */
export const MODEL_CONNECT_MS = 300
const AGENT_MODULE = fileURLToPath(new URL('./agents/effects.ts', import.meta.url))

type GroundOptions = {
  /** The limits file's tenants, queue and so on; the one pool is the ground's. */
  limits?: Record<string, unknown>
  /** Sessions that may be opened a second (CONNECTS_PER_SECOND). */
  connectsPerSecond?: number
  pods: number
  /** Calls that one pod may hold; unless given, one pod could hold them all. */
  callsMax?: number
  /** Processes for the work after calls (0). */
  workers?: number
  /** Sessions the organisation may have at once. */
  ceiling: number
  /** Sessions above the ceiling that the simulator lets in, to be counted. */
  slack?: number
  /** How long the sink takes to answer, ms. */
  sinkDelayMs?: () => number
  /** What HAProxy allows one address of the outside; no limit unless given. */
  perSource?: SourceLimits
  /** Further variables of the pods. */
  env?: Record<string, string>
  /** What one pod has of its own. */
  envOf?: FleetOptions['envOf']
  /** Another agent than the recorder, and the script that leads it. */
  agent?: { module: string; script: unknown }
  /** Further arguments of the model simulator. */
  modelArguments?: readonly string[]
}

export type Ground = {
  fleet: Fleet
  sink: Sink
  /** Live sessions as the model simulator counts them. */
  liveSessions: () => Promise<number>
  /** Sets faults of the model simulator: see sim/openai/fault-shape.ts. */
  orderModel: (order: Record<string, unknown>) => Promise<void>
  /** Waits until exactly `count` sessions are live; how long it took in ms, or undefined at `maxMs`. */
  sessionsReach: (count: number, maxMs: number) => Promise<number | undefined>
}

/** Every second turn of the caller leads to a call of record_step, numbered from 1. */
export function stepScript(): unknown {
  const turns: unknown[] = [{ say: 'Hello, this is the book. What shall I write?' }]
  for (let step = 1; step <= STEPS; step++) {
    turns.push({
      expectCaller: `Please write step ${step}.`,
      call: { name: 'record_step', arguments: { step } },
      thenSay: `Step ${step} is written. What comes next?`,
    })
    turns.push({ expectCaller: 'Is it in the book?', say: 'Yes, it is in the book. Tell me what comes next, please.' })
  }
  return { name: 'steps', matchTools: ['record_step'], turns }
}

/** [GR1] Starts everything but the callers; it is ended with the run. */
export async function layGround(run: ChaosRun, options: GroundOptions): Promise<Ground> {
  const scriptFile = join(run.folder, 'steps.json')
  await writeFile(scriptFile, JSON.stringify(options.agent?.script ?? stepScript()))
  const model = await startChild(
    {
      name: 'model simulator',
      file: process.execPath,
      args: [
        fileURLToPath(new URL('../sim/openai/main.ts', import.meta.url)),
        ...['--port', '0', '--witness', join(run.folder, 'model.jsonl'), '--script', scriptFile],
        ...['--ceiling', String(options.ceiling + (options.slack ?? 0))],
        ...['--faults', JSON.stringify({ connectDelayMs: MODEL_CONNECT_MS }), ...(options.modelArguments ?? [])],
      ],
    },
    run,
  )
  const control = `http://127.0.0.1:${model.port}/sim`
  const sink = await startSink({ logFile: join(run.folder, 'sink.jsonl'), delayMs: options.sinkDelayMs })
  run.atEnd(() => sink.close())
  const limitsFile = join(run.folder, 'limits.json')
  const { ceiling: callsMax, connectsPerSecond = CONNECTS_PER_SECOND } = options
  const pools = [{ pool: 'default', callsMax, connectsPerSecond }]
  await writeFile(limitsFile, JSON.stringify({ pools, ...options.limits }))
  const fleet = await startFleet({
    pods: options.pods,
    workers: options.workers,
    ceiling: options.ceiling,
    callsMax: options.callsMax ?? options.ceiling,
    model: { url: `ws://127.0.0.1:${model.port}/v1/realtime`, apiKey: 'sk-chaos-0123456789' },
    folder: join(run.folder, 'fleet'),
    envOf: options.envOf,
    perSource: options.perSource,
    env: {
      TWILIO_AUTH_TOKEN: run.authToken,
      AGENT_MODULE: options.agent?.module ?? AGENT_MODULE,
      LIMITS_FILE: limitsFile,
      SINK_URL: sink.url,
      HISTORY_FILE: join(run.folder, 'pod-history.jsonl'),
      ...options.env,
    },
  })
  run.atEnd(() => fleet.stop())
  run.note(`${options.pods} pods behind HAProxy at ${fleet.baseUrl}, ceiling ${options.ceiling}`)
  const liveSessions = async (): Promise<number> =>
    ((await (await fetch(`${control}/sessions`)).json()) as { live: number }).live
  return {
    fleet,
    sink,
    liveSessions,
    orderModel: async (order) => {
      run.faults.note('model', '', JSON.stringify(order))
      const answer = await fetch(`${control}/faults`, { method: 'POST', body: JSON.stringify(order) })
      if (!answer.ok) throw new Error(`the model simulator refused: ${await answer.text()}`)
    },
    sessionsReach: (count, maxMs) => waitSessions(liveSessions, count, maxMs),
  }
}

async function waitSessions(live: () => Promise<number>, count: number, maxMs: number): Promise<number | undefined> {
  const startedMs = performance.now()
  while (performance.now() - startedMs < maxMs) {
    if ((await live()) === count) return performance.now() - startedMs
    await sleep(POLL_MS)
  }
  return undefined
}
