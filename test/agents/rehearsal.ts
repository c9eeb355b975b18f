// Runs a PackCall through the SDK's own session over the SDK's scripted transport: no socket, no model. It says what
// the SDK does with an agent, so that the plane can be held to the same.
import assert from 'node:assert/strict'
import { RealtimeSession, type RealtimeSessionOptions } from '@openai/agents-realtime'
import { ScriptedRealtimeTransport } from '@openai/agents-realtime/testing'
import { partyOf } from '../../src/call/identity.ts'
import type { CallId, CallSid } from '../../src/kit/ids.ts'
import type { CallActions, PackCall } from '../../src/packs/pack.ts'

const TURNS_OF_THE_LOOP_MAX = 200

type Answer = { output: string; startResponse: boolean }

/** A call that notes what is done to it. */
export function recordingCall(from = '+12025550100'): CallActions & { ended: number; transfers: string[] } {
  return {
    callId: 'call_rehearsal' as CallId,
    callSid: 'CA00000000000000000000000000000001' as CallSid,
    from,
    to: '+12025550199',
    ended: 0,
    transfers: [],
    direction: 'inbound',
    farParty: partyOf(from),
    effectKey: () => 'call_test:1:1',
    endCall() {
      this.ended += 1
      return { kind: 'accepted' }
    },
    transferCall(to) {
      this.transfers.push(to)
      return { kind: 'accepted' }
    },
  }
}

/** One connected session over one scripted transport. */
export class Rehearsal {
  readonly session: RealtimeSession<unknown>
  readonly transport = new ScriptedRealtimeTransport()
  readonly errors: unknown[] = []
  #turns = 0

  constructor(packCall: PackCall) {
    const { agent, onSession, greeting: _greeting, voice: _voice, close: _close, ...options } = packCall
    const sessionOptions: Partial<RealtimeSessionOptions<unknown>> = { ...options, transport: this.transport }
    this.session = new RealtimeSession(agent, sessionOptions)
    this.session.on('error', ({ error }) => this.errors.push(error))
    onSession?.(this.session)
  }

  /** Connects; gives the configuration that the model would get. */
  async connect(): Promise<{ instructions: string; tools: { name: string; parameters: { required: string[] } }[] }> {
    await this.session.connect({ apiKey: 'none' })
    const call = this.transport.calls.find(({ method }) => method === 'connect') as unknown as {
      options: {
        initialSessionConfig: { instructions: string; tools: { name: string; parameters: { required: string[] } }[] }
      }
    }
    return call.options.initialSessionConfig
  }

  /** Lets the model call a tool in a turn of its own; gives what the agent answers. */
  async callTool(name: string, input: object): Promise<Answer> {
    this.#turns += 1
    const responseId = `resp_${this.#turns}`
    const before = this.#outputs().length
    this.transport.emit('turn_started', {
      type: 'response_started',
      providerData: { response: { id: responseId } },
    })
    this.transport.emit('function_call', {
      type: 'function_call',
      name,
      callId: `fc_${this.#turns}`,
      arguments: JSON.stringify(input),
      responseId,
    })
    for (let turn = 0; turn < TURNS_OF_THE_LOOP_MAX; turn += 1) {
      const answer = this.#outputs()[before]
      if (answer !== undefined) return answer
      await new Promise((done) => setImmediate(done))
    }
    assert.fail(`${name} was not answered; errors: ${this.errors.map(String).join('; ')}`)
  }

  /** Calls a tool whose answer is JSON. */
  async callForData<T>(name: string, input: object): Promise<T> {
    return JSON.parse((await this.callTool(name, input)).output) as T
  }

  /** Lets the model speak a whole turn. */
  async speak(text: string): Promise<void> {
    this.#turns += 1
    const responseId = `resp_${this.#turns}`
    const itemId = `item_${this.#turns}`
    this.transport.emit('turn_started', { type: 'response_started', providerData: { response: { id: responseId } } })
    this.transport.emit('audio_transcript_delta', { type: 'transcript_delta', itemId, delta: text, responseId })
    for (let turn = 0; turn < 10; turn += 1) await new Promise((done) => setImmediate(done))
  }

  close(): void {
    this.session.close()
  }

  #outputs(): Answer[] {
    return this.transport.calls.filter(({ method }) => method === 'sendFunctionCallOutput') as unknown as Answer[]
  }
}
