// One caller process: places its share of the calls at their times and reports each when it is over. Rules:
// CP1: a call is offered at its time whatever happened to the calls before it.
// CP2: on `hang-up`, or when the conductor is gone, nothing more is offered and all calls are hung up.
// CP4: a server behind plain HTTP announces wss:// in its TwiML, often without its port: both are dialled at the server's own
//      address.
// CP3: the process ends by itself after its last report was sent; after that, and without a conductor, nothing is sent.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openSpeech } from '../sim/speech/speech.ts'
import type { Faults } from '../sim/twilio/options.ts'
import { type Call, startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import type { SpokenClip } from '../sim/twilio/wire/clip-frames.ts'
import { type CallerSetup, type FromCaller, nowUs, type Tally, type ToCaller } from './messages.ts'
import { isNear } from './options.ts'
import { seededRandom } from './plan/arrivals.ts'
import { buildScript, type PlainScenarioName, type PlannedCall } from './plan/scenario.ts'
import { isDropped, setUpOutcome } from './report/figures.ts'

/** As README tells operators to configure it: the carrier tries again. */
const CALLBACK_OVERRIDES = '#ct=1500&rt=4000&tt=14000&rc=3&rp=all'
const TALLY_EVERY_MS = 500
const LOOP_RESOLUTION_MS = 5
/** What a scenario asks of the carrier beside its script. */
const FAULTS: Partial<Record<PlainScenarioName, Faults>> = {
  'duplicate-webhook': { duplicateWebhook: true },
  'slow-reader': { stopReading: { fromMs: 5_000, forMs: 30_000 } },
}

type Run = {
  setup: CallerSetup
  sim: TwilioSim
  clips: SpokenClip[]
  live: Map<number, Call>
  timers: Set<NodeJS.Timeout>
  tally: Tally
  isStopping: boolean
  tallies: NodeJS.Timeout | undefined
}

/** [CP3] `sent` is called in any case, also when nobody is there. */
function tell(message: FromCaller, sent: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, sent)
  else sent()
}

/** [CP4] */
function rewritesFor(baseUrl: string): Record<string, string> {
  const { host, hostname, protocol } = new URL(baseUrl)
  if (protocol === 'https:') return { [`wss://${hostname}`]: `wss://${host}` }
  const target = `ws://${host}`
  return { [`wss://${host}`]: target, [`wss://${hostname}`]: target, [`ws://${hostname}`]: target }
}

/** What callers answer where TwiML asks them. */
const GATHER = { digits: '1', speech: 'Hello, I have a question.' }

async function prepare(setup: CallerSetup): Promise<Run> {
  const speech = await openSpeech()
  const clips = speech.callerClips()
  await speech.close()
  const sim = await startTwilioSim({
    patience: 'wall',
    accountSid: setup.accountSid,
    authToken: setup.authToken,
    number: setup.number,
    voiceUrl: setup.baseUrl + setup.voicePath,
    ...(setup.statusPath !== undefined && {
      statusCallback: `${setup.baseUrl}${setup.statusPath}${CALLBACK_OVERRIDES}`,
    }),
    ...(setup.mediaUrl !== undefined && { streamUrl: setup.mediaUrl }),
    ...(!setup.mayBeRemote && { mayDial: (url: string) => isNear(new URL(url).hostname) }),
    gather: GATHER,
    witnessPath: setup.witnessPath,
    wsUrlRewrite: rewritesFor(setup.baseUrl),
    afterStream: setup.afterStream,
  })
  const tally = { offered: 0, live: 0, talking: 0, done: 0, failed: 0, dropped: 0, refused: 0, latenessMs: 0 }
  return { setup, sim, clips, live: new Map(), timers: new Set(), tally, isStopping: false, tallies: undefined }
}

/** [CP1] */
function schedule(run: Run, startUs: number): void {
  for (const planned of run.setup.calls) {
    const timer = setTimeout(
      () => {
        run.timers.delete(timer)
        void place(run, planned)
      },
      Math.max(0, planned.atMs - (nowUs() - startUs) / 1_000),
    )
    run.timers.add(timer)
  }
}

async function place(run: Run, planned: PlannedCall): Promise<void> {
  const { setup, sim, clips, tally, live } = run
  tally.offered++
  const caller = buildScript(planned.scenario, clips, setup.holdS, seededRandom(planned.seed), setup.isCallerFirst)
  const faults = FAULTS[planned.scenario]
  try {
    const call = sim.placeCall({
      caller,
      number: planned.number,
      probe: setup.isProbing,
      faults,
      from: callerNumber(planned.number),
    })
    live.set(planned.number, call)
    const report = await call.done
    const { process, isCallerFirst } = setup
    const finished = { number: planned.number, scenario: planned.scenario, process, report, isCallerFirst }
    const outcome = setUpOutcome(finished)
    if (outcome === 'failed') tally.failed++
    if (outcome === 'refused') tally.refused++
    if (isDropped(finished)) tally.dropped++
    tell({ kind: 'call', call: finished })
  } catch (error) {
    tally.failed++
    tell({ kind: 'error', text: `call ${planned.number}: ${(error as Error).message}` })
  }
  live.delete(planned.number)
  tally.done++
  if (isOver(run)) await finish(run)
}

/** A different caller for each call, in the range kept for examples. */
function callerNumber(number: number): string {
  return `+1555${String(1_000_000 + (number % 1_000_000)).padStart(7, '0')}`
}

function isOver({ timers, live }: Run): boolean {
  return timers.size === 0 && live.size === 0
}

async function stop(run: Run): Promise<void> {
  if (run.isStopping) return
  run.isStopping = true
  for (const timer of run.timers) clearTimeout(timer)
  run.timers.clear()
  for (const call of run.live.values()) call.hangUp()
  if (isOver(run)) await finish(run)
}

let hasFinished = false

/** [CP3] */
async function finish(run: Run): Promise<void> {
  if (hasFinished) return
  hasFinished = true
  clearInterval(run.tallies)
  sendTally(run, 0)
  await run.sim.close()
  tell({ kind: 'finished' }, () => {
    if (process.connected) process.disconnect()
  })
}

function sendTally(run: Run, latenessMs: number): void {
  const { tally, live } = run
  let talking = 0
  for (const call of live.values()) if (call.record.setUpMs !== undefined) talking++
  tell({ kind: 'tally', tally: { ...tally, live: live.size, talking, latenessMs } })
}

function startTallies(run: Run): NodeJS.Timeout {
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
  loop.enable()
  return setInterval(() => {
    const lateMs = Math.max(0, loop.percentile(99) / 1e6 - LOOP_RESOLUTION_MS)
    loop.reset()
    sendTally(run, lateMs)
  }, TALLY_EVERY_MS).unref()
}

let current: Run | undefined

process.on('message', async (message: ToCaller) => {
  if (message.kind === 'set-up') {
    current = await prepare(message.setup)
    current.tallies = startTallies(current)
    tell({ kind: 'ready' })
  } else if (message.kind === 'go' && current !== undefined) {
    schedule(current, message.startUs)
    if (isOver(current)) await finish(current)
  } else if (current !== undefined) await stop(current)
})
// [CP2] Ctrl-C and SIGTERM may reach the whole group; the conductor decides. Without a conductor there is nobody to report to.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('disconnect', () => {
  if (current !== undefined && !hasFinished) void current.sim.close().finally(() => process.exit(1))
})
