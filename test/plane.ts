// A whole plane for journeys: the edge in this process, model and carrier simulators, all on real sockets of this machine.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Script } from '../sim/openai/dialogue/script.ts'
import type { Act } from '../sim/openai/options.ts'
import { type OpenAiSim, type StartOptions, startOpenAiSim } from '../sim/openai/sim.ts'
import { openSpeech, type Speech } from '../sim/speech/speech.ts'
import type { TwilioSimOptions } from '../sim/twilio/options.ts'
import { type CallerScript, type CallReport, startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import type { Call } from '../src/call/call.ts'
import type { EndCause } from '../src/call/end-cause.ts'
import { readConfig } from '../src/config.ts'
import { type Edge, startEdge } from '../src/edge.ts'
import { systemClock } from '../src/kit/clock.ts'
import type { Log } from '../src/kit/log.ts'
import { comesAbout, until } from '../src/kit/testing/patience.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import type { Pack } from '../src/packs/pack.ts'
import { ModelRelay } from './model-relay.ts'

export const TOKEN = '0123456789abcdef0123456789abcdef'
/** The operators' token of the planes of tests. */
export const ADMIN_TOKEN = 'an-operators-token-for-the-tests'
const GONE_MAX_MS = 20_000
/** The witness log is flushed each 250 ms. */
const WITNESS_FLUSH_MS = 350

export type PlaneParts = {
  env?: Record<string, string>
  pack?: Pack
  model?: StartOptions
  carrier?: Partial<TwilioSimOptions>
  /** Another model than the simulator. */
  modelUrl?: string
  /** Puts a relay before the model that notes what the plane says to it. */
  hasRelay?: boolean
}

/** One line of the model simulator's witness log. */
export type WitnessLine = { event: string; session?: string } & Record<string, unknown>

/** A line that the plane logged, warnings and errors only. */
export type LogLine = { level: 'warn' | 'error'; message: string } & Record<string, unknown>

const LOG_LINES_MAX = 5_000

export function keepingLog(lines: LogLine[], bound: object = {}): Log {
  const keep =
    (level: LogLine['level']) =>
    (fields: object, message: string): void => {
      if (lines.length < LOG_LINES_MAX) lines.push({ ...bound, ...fields, level, message })
    }
  return {
    debug() {},
    info() {},
    warn: keep('warn'),
    error: keep('error'),
    child: (fields) => keepingLog(lines, { ...bound, ...fields }),
  }
}

/** A dialogue for the clinic's agent, short enough for a test. */
export function clinicScript(turns: Script['turns']): Script {
  return { name: 'clinic-front-desk', matchTools: ['find_available_slots', 'book_appointment'], turns }
}

/** Plane, model and carrier share the one event loop of a test: a stall of it may tear this much, in all, ms. */
const GAPS_MAX_MS = 120

/** The agent was heard without holes, but for what a stall of this process explains. */
export function assertUnbroken({ gapsMs }: CallReport): void {
  const totalMs = gapsMs.reduce((sum, ms) => sum + ms, 0)
  assert.ok(totalMs <= GAPS_MAX_MS, `holes in the agent's speech, in ms: ${gapsMs.join(', ')}`)
}

/** The caller waits for the greeting, then hangs up. */
export const LISTEN: CallerScript = {
  steps: [{ waitForAgent: 'speaking', timeoutMs: 5_000 }, { pauseMs: 300 }, { hangUp: true }],
  maxMs: 10_000,
}

/** The caller says nothing for `ms`, then hangs up. */
export function stay(ms: number): CallerScript {
  return { steps: [{ stayMs: ms }, { hangUp: true }], maxMs: ms + 5_000 }
}

export class Plane {
  readonly edge: Edge
  readonly model: OpenAiSim
  readonly carrier: TwilioSim
  readonly speech: Speech
  readonly folder: string
  readonly relay: ModelRelay | undefined
  readonly log: LogLine[]
  readonly ended: { call: Call; cause: EndCause }[] = []

  private constructor(parts: Pick<Plane, 'edge' | 'model' | 'carrier' | 'speech' | 'folder' | 'relay' | 'log'>) {
    this.edge = parts.edge
    this.model = parts.model
    this.carrier = parts.carrier
    this.speech = parts.speech
    this.folder = parts.folder
    this.relay = parts.relay
    this.log = parts.log
    this.edge.pod.onCallEnded = (call, cause) => this.ended.push({ call, cause })
  }

  static async open(parts: PlaneParts = {}): Promise<Plane> {
    const folder = await mkdtemp(join(tmpdir(), 'voiceplane-test-'))
    const speech = await openSpeech()
    const model = await startOpenAiSim({ thinkMs: 100, ...parts.model, witnessFile: join(folder, 'model.jsonl') })
    const relay = parts.hasRelay === true ? await ModelRelay.open(model.url) : undefined
    const reading = readConfig({
      PORT: '0',
      OPENAI_REALTIME_URL: parts.modelUrl ?? relay?.url ?? model.url,
      OPENAI_API_KEY: 'a-key-for-tests',
      TWILIO_AUTH_TOKEN: TOKEN,
      ADMIN_TOKEN,
      ...parts.env,
    })
    if (reading.kind === 'invalid') assert.fail(JSON.stringify(reading.problems))
    const lines: LogLine[] = []
    const log = keepingLog(lines)
    const pack = parts.pack ?? makeClinicPack({ clock: systemClock, log })
    const edge = await startEdge({ config: reading.config, pack, log })
    const carrier = await startTwilioSim({
      accountSid: `AC${'0'.repeat(31)}1`,
      authToken: TOKEN,
      number: '+15005550001',
      voiceUrl: `${edge.url}/twilio/voice`,
      statusCallback: `${edge.url}/twilio/status`,
      wsUrlRewrite: { [edge.url.replace('http', 'wss')]: edge.url.replace('http', 'ws') },
      verbTimeScale: 0.02,
      ...parts.carrier,
    })
    return new Plane({ edge, model, carrier, speech, folder, relay, log: lines })
  }

  /** Opens a plane, runs `journey` on it, holds it to leave nothing, and closes it. */
  static async with(parts: PlaneParts, journey: (plane: Plane) => Promise<void>): Promise<void> {
    const plane = await Plane.open(parts)
    try {
      await journey(plane)
      await plane.settled()
    } finally {
      await plane.close()
    }
  }

  /** Places a call and waits for its end. */
  async call(
    caller: CallerScript,
    options: { faults?: TwilioSimOptions['faults']; recordTo?: string } = {},
  ): Promise<CallReport> {
    return this.carrier.placeCall({ caller, ...options }).done
  }

  /** A call like any other comes through: what went before has harmed nothing. */
  async servesANormalCall(): Promise<void> {
    const report = await this.call(LISTEN)
    assert.equal(report.wasDropped, false)
    assert.deepEqual(report.scriptTimeouts, [])
    assert.ok(report.agentPlayedMs > 0, 'the caller hears nothing')
    await this.settled()
  }

  /** The calls that live now. */
  calls(): Call[] {
    return this.edge.pod.calls.all().map(({ call }) => call)
  }

  /** Waits until `isTrue`, at most `withinMs`. */
  until(isTrue: () => boolean, withinMs?: number): Promise<void> {
    return until(String(isTrue), isTrue, withinMs)
  }

  /** Does `act` to every session of the model now. */
  async act(act: Act): Promise<void> {
    const answer = await fetch(`${this.model.controlUrl}/faults`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ act }),
    })
    const { acted } = (await answer.json()) as { acted?: number }
    assert.ok(acted !== undefined && acted > 0, 'no session was there to act on')
  }

  /** A counter of /metrics; 0 when it is not there yet. `series`: name with labels as printed. */
  async counter(series: string): Promise<number> {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
    const text = await (await fetch(`${this.edge.url}/metrics`, { headers })).text()
    const line = text.split('\n').find((other) => other.startsWith(`${series} `))
    return line === undefined ? 0 : Number(line.slice(series.length + 1))
  }

  /** A short line of a caller. */
  say(text: string) {
    return this.speech.say(text, 'rms')
  }

  async witness(): Promise<WitnessLine[]> {
    await new Promise((resolve) => setTimeout(resolve, WITNESS_FLUSH_MS))
    const text = await readFile(join(this.folder, 'model.jsonl'), 'utf8').catch(() => '')
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as WitnessLine)
  }

  /** Waits until nothing of any call is left: calls and timers of the plane, sessions at the model. Fails when something stays, or was logged as an error. */
  async settled(): Promise<void> {
    const left = (): Record<string, number> => ({
      calls: this.edge.pod.calls.size,
      timers: this.edge.timers,
      sessions: this.model.liveSessions(),
    })
    await comesAbout(() => Object.values(left()).every((count) => count === 0), GONE_MAX_MS)
    assert.deepEqual(left(), { calls: 0, timers: 0, sessions: 0 })
    assert.deepEqual(
      this.log.filter(({ level }) => level === 'error'),
      [],
      'the plane logged errors',
    )
  }

  async close(): Promise<void> {
    await this.carrier.close()
    await this.edge.close()
    await this.relay?.close()
    await this.model.close()
    await this.speech.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}
