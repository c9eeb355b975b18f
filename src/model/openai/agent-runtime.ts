// The agent of one call: a RealtimeSession of the SDK over our transport. Rules:
// AR1: a RealtimeAgent written for the SDK's own transport runs unchanged; only its audio goes elsewhere.
// AR2: errors of tools and of the SDK are logged by their message's kind, never with arguments or texts; they never end the process.
// AR3: the SDK's own tracing to the provider is off: what was said on the phone leaves only through the model link.
// AR4: what the SDK keeps for ever by response (usage entries) is capped here; the sums stay.
// AR5: a tool runs under the agent whose it was when the model called it, whoever is in charge by then. A tool whose agent is not
//      there any more does not run.
// AR6: a session goes on as `begin` says: the agent in charge, its context, the decisions about tools.
// AR7: an agent may state its configuration in the SDK's older, flat form: it means the same.
import { RealtimeSession, type RealtimeSessionConfig } from '@openai/agents-realtime'
import { type AgentPath, type AgentState, type CarriedContext, NEW_AGENT } from '../../call/agent-state.ts'
import { carryContext, restoreContext } from '../../call/carried-context.ts'
import type { TranscriptItem } from '../../call/transcript.ts'
import { messageOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import type { PackAgent, PackCall } from '../../packs/pack.ts'
import { AgentGraph } from './agent-graph.ts'
import { type AgentSink, AgentTransport } from './agent-transport.ts'
import { carryApprovals, restoreApprovals } from './approvals.ts'
import type { SessionDefaults } from './session-shape.ts'
import { shownHistory } from './shown-history.ts'
import { UnheardApprovals } from './unheard-approvals.ts'
import { record, type ServerEvent, text } from './wire.ts'

const USAGE_ENTRIES_MAX = 20
/** Responses whose agent is remembered. */
const RESPONSES_KEPT = 32
/** How often the SDK is asked again to take a call under an agent while handoffs come in between. */
const UNDER_TRIES = 3

export interface AgentOwner extends AgentSink {
  agentFailed(message: string): void
  /** The SDK could not take or run a tool call, and gives no answer to it. */
  toolFailed(toolCallId: string): void
  /** Something that `carried` tells is another. */
  agentChanged(): void
}

type RuntimeOptions = {
  model: string
  defaults: SessionDefaults
  log: Log
  begin?: AgentState
  unheard?: UnheardApprovals | undefined
}
type SpeakingAgent = { responseId: string; agent: PackAgent; isOver: boolean }

export class AgentRuntime {
  readonly transport: AgentTransport
  /** Somebody (an output guardrail) looks at the agent's words as they come. */
  readonly needsTranscriptDeltas: boolean
  readonly #session: RealtimeSession<unknown>
  readonly #packCall: PackCall
  readonly #owner: AgentOwner
  readonly #graph: AgentGraph
  readonly #log: Log
  readonly #unheard: UnheardApprovals
  #inCharge: AgentPath
  #context: CarriedContext
  #speaking: SpeakingAgent[] = []
  #underway: Promise<void> = Promise.resolve()
  #behind: PackAgent | undefined
  #isUnreachable = false
  #isContextTooLarge = false
  #isStarted = false
  #isClosed = false

  constructor(packCall: PackCall, options: RuntimeOptions, owner: AgentOwner) {
    const { begin = NEW_AGENT, log, unheard = new UnheardApprovals() } = options
    this.#packCall = packCall
    this.#owner = owner
    this.#log = log
    this.#unheard = unheard
    this.#graph = new AgentGraph(packCall.agent, packCall.agents)
    this.#inCharge = begin.inCharge
    this.#context = begin.context
    this.needsTranscriptDeltas = (packCall.outputGuardrails?.length ?? 0) > 0
    this.transport = new AgentTransport(owner, {
      needsTranscriptDeltas: this.needsTranscriptDeltas,
      model: options.model,
      log,
    })
    const { outputGuardrails, outputGuardrailSettings, toolExecution, toolErrorFormatter } = packCall
    const answersMcp = packCall.automaticallyTriggerResponseForMcpToolCalls
    const context = restoreContext(packCall.context, begin.context)
    this.#session = new RealtimeSession(this.#agentInCharge(), {
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
    restoreApprovals(this.#session.context, this.#graph, begin.approvals, log)
    this.#tellDecisions()
    this.#noteListeners()
    unheard.answerFor(this.#session, log)
    // AR4: the SDK keeps one entry of usage for each response, for ever; the sums stay, the entries are capped.
    this.transport.on('usage_update', () => {
      const entries = this.#session.usage.requestUsageEntries
      if (entries !== undefined && entries.length > USAGE_ENTRIES_MAX)
        entries.splice(0, entries.length - USAGE_ENTRIES_MAX)
    })
    this.#session.on('error', () => {
      log.warn({}, 'the agent reported an error')
      const toolCallId = this.transport.toolUnderway
      if (toolCallId !== undefined) owner.toolFailed(toolCallId)
    })
  }

  /** What of the agent must outlive this pod, as it is now; the voice is its owner's to add. */
  carried(): Omit<AgentState, 'voice' | 'session'> {
    const path = this.#graph.pathOf(this.#agentNow())
    if (path !== undefined) this.#inCharge = path
    else if (!this.#isUnreachable) {
      this.#isUnreachable = true
      this.#log.warn({}, 'no handoff leads to the agent in charge: another pod goes on with the one before (`agents`)')
    }
    return {
      inCharge: this.#inCharge,
      context: this.#carriedContext(),
      approvals: carryApprovals(this.#session.context, this.#graph),
    }
  }

  /** Hands a server event to the SDK. */
  deliver(event: ServerEvent): void {
    const responseId = text(record(event.response).id)
    if (event.type === 'response.created') {
      this.#speaking.push({ responseId, agent: this.#agentNow(), isOver: false })
      if (this.#speaking.length > RESPONSES_KEPT) this.#speaking.shift()
    }
    this.transport.deliver(event)
    if (event.type === 'response.done') {
      const over = this.#speaking.find((one) => one.responseId === responseId)
      if (over !== undefined) over.isOver = true
    }
  }

  /** Whose tools the response may call; undefined where there is one agent only, or it is not known. */
  ownerOf(responseId: string): AgentPath | undefined {
    if (!this.#graph.hasMany) return undefined
    const agent = this.#speaking.find((one) => one.responseId === responseId)?.agent ?? this.#agentNow()
    return this.#graph.pathOf(agent)
  }

  /** Runs the tool call of `event` under its owner (AR5); false when the owner is not there any more. */
  runTool(event: ServerEvent, owner: AgentPath | undefined): boolean {
    const agent = owner === undefined ? undefined : this.#graph.at(owner)
    if (agent === undefined && owner !== undefined) return false
    const speaking = this.#speaking.find((one) => one.responseId === text(event.response_id))
    const isTaken = speaking !== undefined && !speaking.isOver
    if (agent === undefined || isTaken || agent === this.#agentNow()) this.transport.deliver(event)
    else this.#underway = this.#underway.then(() => this.#runUnder(agent, event))
    return true
  }

  /** The SDK takes a call under the agent that is current when it sees it: that agent is put there for the moment, unseen. */
  async #runUnder(agent: PackAgent, event: ServerEvent): Promise<void> {
    // A response that the SDK has not seen begins with the current agent.
    const call = { ...event, response_id: `vp-${text(record(event.item).call_id)}` }
    this.transport.hold()
    const inCharge = this.#agentNow()
    this.#behind = inCharge
    try {
      await this.#makeCurrent(agent)
      if (this.#isClosed) return
      this.transport.deliverNow(call)
      if (this.#session.currentAgent === agent) await this.#makeCurrent(inCharge)
    } catch (error) {
      this.#owner.agentFailed(messageOf(error))
    } finally {
      this.#behind = undefined
      this.transport.release()
    }
  }

  /** Makes `agent` current without an event. */
  async #makeCurrent(agent: PackAgent): Promise<void> {
    const session = this.#session as unknown as { initialAgent: PackAgent } & RealtimeSession<unknown>
    for (let i = 0; i < UNDER_TRIES && session.currentAgent !== agent; i += 1) {
      const before = session.initialAgent
      session.initialAgent = agent
      try {
        await session.getInitialSessionConfig()
      } finally {
        session.initialAgent = before
      }
    }
  }

  /** The agent in charge, also while a call is taken under another one. */
  #agentNow(): PackAgent {
    return this.#behind ?? (this.#session.currentAgent as PackAgent)
  }

  #agentInCharge(): PackAgent {
    const agent = this.#graph.at(this.#inCharge)
    if (agent !== undefined) return agent
    this.#log.warn({}, 'the agent in charge is not in this release of the module: the first one goes on')
    return this.#packCall.agent
  }

  #carriedContext(): CarriedContext {
    const now = this.#session.context.context as object
    const carried = carryContext(now, this.#packCall.context)
    if (carried !== 'too-large') this.#context = carried
    else if (!this.#isContextTooLarge) {
      this.#isContextTooLarge = true
      this.#log.warn({}, 'the context of a call is too large to go to another pod')
    }
    return this.#context
  }

  /** Raw events are read only where somebody listens to them (AT6). */
  #noteListeners(): void {
    const session = this.#session
    for (const method of ['on', 'once'] as const) {
      const listen = session[method].bind(session) as (type: string, listener: () => void) => never
      session[method] = ((type: string, listener: () => void) => {
        if (type === 'transport_event') this.transport.isObserved = true
        return listen(type, listener)
      }) as never
    }
  }

  /** A decision about a tool counts from the moment it is made, not only when the tool has answered. */
  #tellDecisions(): void {
    const session = this.#session
    const approve = session.approve.bind(session)
    const reject = session.reject.bind(session)
    session.approve = (item, options) => {
      const done = approve(item, options)
      this.#owner.agentChanged()
      return done
    }
    session.reject = (item, options) => {
      const done = reject(item, options)
      this.#owner.agentChanged()
      return done
    }
  }

  /**
   * Resolves the agent's instructions and tools; they arrive as `configure`. Its session shows `history`, of a call that began
   * elsewhere. Later calls do nothing.
   */
  start(history: readonly TranscriptItem[] = []): void {
    if (this.#isStarted) return
    this.#isStarted = true
    try {
      this.#packCall.onSession?.(this.#session)
    } catch (error) {
      this.#owner.agentFailed(messageOf(error))
      return
    }
    void this.#unheard.warn(this.#session, this.#graph.agents(), this.#log)
    const connected = this.#session.connect({ apiKey: 'held-by-the-plane' })
    connected
      .then(() => this.transport.show(shownHistory(history)))
      .catch((error: unknown) => {
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

const FLAT = {
  turnDetection: 'turnDetection',
  inputAudioTranscription: 'transcription',
  inputAudioNoiseReduction: 'noiseReduction',
}

/** The older, flat form of a configuration, in the present one: the SDK drops one of the two when both are there (AR7). */
function lifted(given: Record<string, unknown>): Record<string, unknown> {
  const { audio } = given as { audio?: { input?: object } }
  const rest = { ...given }
  const input: Record<string, unknown> = {}
  for (const [flat, name] of Object.entries(FLAT)) {
    if (rest[flat] !== undefined) input[name] = rest[flat]
    delete rest[flat]
  }
  return { ...rest, audio: { ...audio, input: { ...input, ...audio?.input } } }
}

function configOf(packCall: PackCall, defaults: SessionDefaults): Partial<RealtimeSessionConfig> {
  const given = lifted((packCall.config ?? {}) as Record<string, unknown>) as {
    audio?: { input?: object; output?: object }
  } & Record<string, unknown>
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
