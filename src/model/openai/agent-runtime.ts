// The agent of one call: a RealtimeSession of the SDK over our transport. Rules:
// AR1: a RealtimeAgent written for the SDK's own transport runs unchanged; only its audio goes elsewhere.
// AR2: errors of tools and of the SDK are logged by their message's kind, never with arguments or texts; they never end the process.
// AR3: the SDK's own tracing to the provider is off: what was said on the phone leaves only through the model link.
// AR4: what the SDK keeps for ever by response (usage entries) is capped here; the sums stay.
import { RealtimeSession, type RealtimeSessionConfig } from '@openai/agents-realtime'
import { messageOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import type { PackCall } from '../../packs/pack.ts'
import { type AgentSink, AgentTransport } from './agent-transport.ts'
import type { SessionDefaults } from './session-shape.ts'

const USAGE_ENTRIES_MAX = 20

export interface AgentOwner extends AgentSink {
  agentFailed(message: string): void
}

export class AgentRuntime {
  readonly transport: AgentTransport
  /** Somebody (an output guardrail) looks at the agent's words as they come. */
  readonly needsTranscriptDeltas: boolean
  readonly #session: RealtimeSession<unknown>
  readonly #packCall: PackCall
  readonly #owner: AgentOwner
  #isStarted = false
  #isClosed = false

  constructor(packCall: PackCall, options: { model: string; defaults: SessionDefaults; log: Log }, owner: AgentOwner) {
    this.#packCall = packCall
    this.#owner = owner
    this.needsTranscriptDeltas = (packCall.outputGuardrails?.length ?? 0) > 0
    this.transport = new AgentTransport(owner, {
      needsTranscriptDeltas: this.needsTranscriptDeltas,
      model: options.model,
      log: options.log,
    })
    const { outputGuardrails, outputGuardrailSettings, toolExecution, toolErrorFormatter, context } = packCall
    const answersMcp = packCall.automaticallyTriggerResponseForMcpToolCalls
    this.#session = new RealtimeSession(packCall.agent, {
      transport: this.transport,
      model: options.model as 'gpt-realtime',
      config: configOf(packCall, options.defaults),
      tracingDisabled: true,
      historyStoreAudio: false,
      ...(context === undefined ? {} : { context }),
      ...(outputGuardrails === undefined ? {} : { outputGuardrails }),
      ...(outputGuardrailSettings === undefined ? {} : { outputGuardrailSettings }),
      ...(toolExecution === undefined ? {} : { toolExecution }),
      ...(toolErrorFormatter === undefined ? {} : { toolErrorFormatter }),
      ...(answersMcp === undefined ? {} : { automaticallyTriggerResponseForMcpToolCalls: answersMcp }),
    })
    // AR4: the SDK keeps one entry of usage for each response, for ever; the sums stay, the entries are capped.
    this.transport.on('usage_update', () => {
      const entries = this.#session.usage.requestUsageEntries
      if (entries !== undefined && entries.length > USAGE_ENTRIES_MAX)
        entries.splice(0, entries.length - USAGE_ENTRIES_MAX)
    })
    this.#session.on('error', () => options.log.warn({}, 'the agent reported an error'))
  }

  /** Resolves the agent's instructions and tools; they arrive as `configure`. Later calls do nothing. */
  start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    try {
      this.#packCall.onSession?.(this.#session)
    } catch (error) {
      this.#owner.agentFailed(messageOf(error))
      return
    }
    this.#session.connect({ apiKey: 'held-by-the-plane' }).catch((error: unknown) => {
      if (!this.#isClosed) this.#owner.agentFailed(messageOf(error))
    })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      this.#session.close()
    } finally {
      this.#packCall.close?.()
    }
  }
}

function configOf(packCall: PackCall, defaults: SessionDefaults): Partial<RealtimeSessionConfig> {
  const given = (packCall.config ?? {}) as { audio?: { input?: object; output?: object } } & Record<string, unknown>
  const voice = packCall.voice ?? defaults.voice
  return {
    ...given,
    audio: {
      input: {
        turnDetection: defaults.turnDetection,
        transcription: defaults.transcription,
        noiseReduction: null,
        ...given.audio?.input,
      },
      output: { ...(voice === undefined ? {} : { voice }), ...given.audio?.output },
    },
  } as Partial<RealtimeSessionConfig>
}
