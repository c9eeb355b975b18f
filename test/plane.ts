// A whole plane for journeys: edge in this process, model and carrier simulators, all on real sockets of this machine.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OpenAiSimOptions } from '../sim/openai/options.ts'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import { openSpeech, type Speech } from '../sim/speech/speech.ts'
import type { TwilioSimOptions } from '../sim/twilio/options.ts'
import { type CallerScript, type CallReport, startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import type { Call } from '../src/call/call.ts'
import type { EndCause } from '../src/call/state.ts'
import { readConfig } from '../src/config.ts'
import { type Edge, startEdge } from '../src/edge.ts'
import { systemClock } from '../src/kit/clock.ts'
import { silentLog } from '../src/kit/log.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import type { Pack } from '../src/packs/pack.ts'

export const TOKEN = '0123456789abcdef0123456789abcdef'
const GONE_MAX_MS = 8_000

export type PlaneParts = {
  env?: Record<string, string>
  pack?: Pack
  model?: Partial<OpenAiSimOptions>
  carrier?: Partial<TwilioSimOptions>
  /** Another model than the simulator. */
  modelUrl?: string
}

/** One line of the model simulator's witness log. */
export type WitnessLine = { event: string; session?: string } & Record<string, unknown>

export class Plane {
  readonly edge: Edge
  readonly model: OpenAiSim
  readonly carrier: TwilioSim
  readonly speech: Speech
  readonly folder: string
  readonly ended: { call: Call; cause: EndCause }[] = []

  private constructor(parts: { edge: Edge; model: OpenAiSim; carrier: TwilioSim; speech: Speech; folder: string }) {
    this.edge = parts.edge
    this.model = parts.model
    this.carrier = parts.carrier
    this.speech = parts.speech
    this.folder = parts.folder
    this.edge.desk.onCallEnded = (call, cause) => this.ended.push({ call, cause })
  }

  static async open(parts: PlaneParts = {}): Promise<Plane> {
    const folder = await mkdtemp(join(tmpdir(), 'voiceplane-test-'))
    const speech = await openSpeech()
    const model = await startOpenAiSim({ thinkMs: 100, ...parts.model, witnessFile: join(folder, 'model.jsonl') })
    const reading = readConfig({
      PORT: '0',
      OPENAI_REALTIME_URL: parts.modelUrl ?? model.url,
      OPENAI_API_KEY: 'a-key-for-tests',
      TWILIO_AUTH_TOKEN: TOKEN,
      ...parts.env,
    })
    assert.equal(reading.kind, 'ok')
    if (reading.kind !== 'ok') throw new Error('unreachable')
    const pack = parts.pack ?? makeClinicPack({ clock: systemClock, log: silentLog })
    const edge = await startEdge({ config: reading.config, pack, log: silentLog })
    const carrier = await startTwilioSim({
      accountSid: `AC${'0'.repeat(31)}1`,
      authToken: TOKEN,
      number: '+15005550001',
      voiceUrl: `${edge.url}/twilio/voice`,
      wsUrlRewrite: { [edge.url.replace('http', 'wss')]: edge.url.replace('http', 'ws') },
      verbTimeScale: 0.02,
      ...parts.carrier,
    })
    return new Plane({ edge, model, carrier, speech, folder })
  }

  /** Places a call and waits for its end. */
  async call(
    caller: CallerScript,
    options: { faults?: TwilioSimOptions['faults']; recordTo?: string } = {},
  ): Promise<CallReport> {
    return this.carrier.placeCall({ caller, ...options }).done
  }

  /** The calls that live now. */
  calls(): Call[] {
    return this.edge.desk.calls()
  }

  /** Waits until `isTrue`, at most GONE_MAX_MS. */
  async until(isTrue: () => boolean): Promise<void> {
    const untilMs = performance.now() + GONE_MAX_MS
    while (!isTrue()) {
      assert.ok(performance.now() < untilMs, 'it did not come about in time')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** A short caller's line. */
  say(text: string) {
    return this.speech.say(text, 'rms')
  }

  async witness(): Promise<WitnessLine[]> {
    await new Promise((resolve) => setTimeout(resolve, 350)) // the log is flushed each 250 ms
    const text = await readFile(join(this.folder, 'model.jsonl'), 'utf8').catch(() => '')
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as WitnessLine)
  }

  /** Waits until nothing of any call is left, in the plane and at the model; fails when something stays. */
  async settled(): Promise<void> {
    const untilMs = performance.now() + GONE_MAX_MS
    while (performance.now() < untilMs) {
      if (this.edge.desk.activeCalls === 0 && this.model.liveSessions() === 0) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.equal(this.edge.desk.activeCalls, 0, 'calls are left in the plane')
    assert.equal(this.model.liveSessions(), 0, 'sessions are left at the model')
  }

  async close(): Promise<void> {
    await this.carrier.close()
    await this.edge.close()
    await this.model.close()
    await this.speech.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** The caller waits for the greeting, then hangs up. */
export const LISTEN: CallerScript = {
  steps: [{ waitForAgent: 'speaking', timeoutMs: 5_000 }, { pauseMs: 300 }, { hangUp: true }],
  maxMs: 10_000,
}
