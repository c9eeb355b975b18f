// A model session: the agent (through the SDK) and one live link at a time, replaceable under the call. Rules:
// OS1: a link is `ready` when session.created came, our configuration was acknowledged and the history was replayed.
//      Until then nothing of the agent and no audio is sent: no tools or a wrong format are worse than a wait.
// OS2: a renewal is a second link beside the first; the first serves until the second is ready and nobody speaks.
// OS3: the voice of a conversation is fixed by its first audio: later configurations leave it out (cannot_update_voice), and every
//      later link begins with it, in whatever pod and whichever agent is in charge.
// OS4: the whole of a dial, up to ready, is bounded by `connectMs`.
// OS5: an item whose audio came over another link is here as text: when it is cut, that text is replaced by what was heard.
// OS9: a session that awaits last words tells of transcriptions alone, until it is closed.
import type { AgentState } from '../../call/agent-state.ts'
import type {
  ModelCommand,
  ModelEvent,
  ModelListener,
  ModelLoss,
  ModelSession,
  ResponseRequest,
  TurnTaking,
} from '../../call/ports.ts'
import { NEW_SESSION, type PendingTool, type SessionStart } from '../../call/ports.ts'
import { itemIdOf, type TranscriptItem } from '../../call/transcript.ts'
import type { Clock } from '../../kit/clock.ts'
import { whereOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import { clip } from '../../kit/text.ts'
import type { Wheel } from '../../kit/wheel.ts'
import type { PackCall } from '../../packs/pack.ts'
import type { LinkLoss, Route, Routes } from '../route.ts'
import { AgentRuntime } from './agent-runtime.ts'
import { isForAgent } from './agent-transport.ts'
import { clientEventOf, isProof, NOTE_ID, systemNote, toolOutput } from './client-events.ts'
import { Link, type LinkSettings } from './link.ts'
import { CONFIGURE_ID, type Configuration, LinkSetup, RECONFIGURE_ID, RENEWAL_LOOK_MS } from './link-setup.ts'
import { type Change, confirmationsOf, OwnItems } from './own-items.ts'
import { isFatalCode, isLimitCode, isWeather } from './refusal.ts'
import { RefusedFields, type SettingRefusals } from './refused-fields.ts'
import { heardSpeech, replayEvents } from './replay.ts'
import { changed, without } from './session-change.ts'
import {
  quietAfterMs,
  type SessionDefaults,
  shapeSession,
  turnTakingIn,
  VOICE_PATH,
  voiceOf,
  withoutVoice,
  withVoice,
} from './session-shape.ts'
import { ToolCalls } from './tool-calls.ts'
import { translate } from './translate.ts'
import type { UnheardApprovals } from './unheard-approvals.ts'
import { record, type ServerEvent, text } from './wire.ts'

/** Signs of life of a response are told no oftener. */
const ALIVE_EVERY_MS = 250
const REFUSAL_MAX_CHARS = 300
const GONE_TOOL = 'This cannot be done any more. Tell the caller so and offer something else.'

export type SessionSettings = {
  routes: Routes
  link: Omit<LinkSettings, 'wantsTranscriptDeltas' | 'quietAfterMs'>
  /** Frames are joined while the caller is quiet. Default: they are not. */
  joinsQuiet?: boolean
  defaults: SessionDefaults
  model: string
  /** How long a tool may take. */
  toolMaxMs: number
  /** What the provider refused in the calls of this pod. */
  refusals?: SettingRefusals
  /** What this pod was warned of. */
  unheard?: UnheardApprovals
}
type SessionWorld = { clock: Clock; wheel: Wheel; log: Log }

const lossOf = (code: string): LinkLoss => ({ code, fatal: isFatalCode(code), isLimit: isLimitCode(code) })
const codeOf = (error: Record<string, unknown>): string => text(error.code) || text(error.type) || 'unknown'

export class OpenAiSession implements ModelSession {
  readonly #settings: SessionSettings
  readonly #world: SessionWorld
  readonly #listener: ModelListener
  readonly #agent: AgentRuntime
  #link: Link | undefined
  #setup: LinkSetup | undefined
  /** What agent and code have asked for, and what of it is code's. */
  #asked: Record<string, unknown> | undefined
  #amended: Record<string, unknown>
  #session: Record<string, unknown> | undefined
  #voice: { name: unknown } | undefined
  readonly #refused: RefusedFields
  /** What the link that serves was told last. */
  #sent: Record<string, unknown> = {}
  #replayed = new Set<string>()
  readonly #own = new OwnItems()
  /** Items whose audio came over the link that serves. */
  readonly #spoken = new Set<string>()
  #audioResponse = ''
  readonly #tools: ToolCalls
  #note: string | undefined
  /** The voice that the provider told, when nobody named one. */
  #toldVoice: unknown
  #hasServed = false
  #aliveMs = Number.NEGATIVE_INFINITY
  /** The response has begun to sound: what else it sends says nothing new of its life. */
  #isSounding = false
  /** What the call was told; it begins with this (call-settings.ts). */
  #turnTaking: TurnTaking = { autoRespond: true, interrupts: true }
  /** Frames are joined when the caller has been quiet for so long; undefined: never. */
  #quietAfterMs: number | undefined
  /** The provider answers no proof of life: told once. */
  #isUnprovableTold = false
  #isClosed = false
  /** The call is over: only what its caller said is heard. */
  #isOnlyHeard = false

  constructor(
    listener: ModelListener,
    packCall: PackCall,
    settings: SessionSettings,
    world: SessionWorld,
    start: SessionStart = NEW_SESSION,
  ) {
    this.#listener = listener
    this.#note = start.note
    this.#amended = start.agent.session
    if (start.agent.voice !== undefined) this.#voice = { name: start.agent.voice }
    this.#settings = settings
    this.#refused = new RefusedFields(settings.defaults)
    this.#world = world
    this.#agent = new AgentRuntime(
      packCall,
      {
        ...{ model: settings.model, defaults: settings.defaults, unheard: settings.unheard },
        ...{ log: world.log, begin: start.agent },
      },
      this,
    )
    const { log, wheel } = world
    const { toolMaxMs } = settings
    this.#tools = new ToolCalls(
      start,
      { log, wheel, toolMaxMs },
      {
        run: (event, tool) => this.#runTool(event, tool),
        decline: (toolCallId, name, words) => this.#declineTool(toolCallId, name, words),
        tellLate: (name, output) => this.#tellLate(name, output),
      },
    )
  }

  dial(history: readonly TranscriptItem[], renewal: boolean, elsewhere = false): void {
    if (this.#isClosed) return
    if (!renewal) this.#drop(this.#link)
    this.#abandonSetup()
    const way = this.#settings.routes.next({ isResume: renewal || this.#hasServed || history.length > 0, elsewhere })
    if (way.kind === 'go') this.#open(way.route, history, renewal)
    else this.#listener.onModelEvent({ kind: renewal ? 'renewal-failed' : 'lost', loss: way.loss })
    this.#agent.start(history)
  }

  #open(route: Route, history: readonly TranscriptItem[], isRenewal: boolean): void {
    const { needsTranscriptDeltas: wantsTranscriptDeltas } = this.#agent
    const isObserved = (): boolean => this.#agent.transport.isObserved
    const quietAfterMs = (): number | undefined => this.#quietAfterMs
    const settings = { ...this.#settings.link, wantsTranscriptDeltas, isObserved, quietAfterMs }
    const link = new Link(this, route, settings, this.#world.wheel)
    const timer = this.#world.wheel.after(this.#settings.link.connectMs, () => {
      this.#fail(link, route.lost({ code: 'MODEL_STALLED', fatal: false }))
    })
    this.#setup = new LinkSetup(link, { isRenewal, history, timer })
    link.open()
  }

  appendAudio(buffer: Buffer, start: number, end: number): void {
    this.#link?.append(buffer, start, end)
  }

  appendSilence(ms: number): void {
    this.#link?.appendSilence(ms)
  }

  callerSeemsLoud(): void {
    this.#link?.callerSeemsLoud()
  }

  command(command: ModelCommand): void {
    if (command.kind === 'truncate' && !this.#spoken.has(command.itemId)) this.#replaceHeard(command.itemId)
    else this.#link?.send(clientEventOf(command))
  }

  /** OS5. */
  #replaceHeard(itemId: string): void {
    const history = this.#listener.history?.() ?? []
    const at = history.findIndex((item) => item.kind === 'agent' && item.id === itemId)
    const item = history[at]
    if (item?.kind !== 'agent' || this.#link === undefined || !this.#replayed.has(itemId)) return
    this.#link.send({ type: 'conversation.item.delete', event_id: `vp-heard-${itemId}`, item_id: itemId })
    if (item.text === '') return
    const before = history.slice(0, at).findLast((other) => this.#replayed.has(itemIdOf(other)))
    const previous_item_id = before === undefined ? 'root' : itemIdOf(before)
    this.#link.send({ ...heardSpeech(item), event_id: `vp-heard-${itemId}`, previous_item_id })
  }

  interrupted(itemId: string, heardText: string): void {
    this.#agent.transport.audioInterrupted(itemId, heardText)
  }

  carried(): AgentState {
    return { ...this.#agent.carried(), voice: this.#voice?.name, session: this.#amended }
  }

  awaitWords(): boolean {
    if (this.#isClosed || this.#link === undefined || !this.#hasTranscription) return false
    this.#isOnlyHeard = true
    this.#abandonSetup()
    this.#tools.close()
    this.#agent.close()
    // Nobody would hear it.
    this.#link.send({ type: 'response.cancel' })
    return true
  }

  /** Whether the provider is asked to transcribe what the caller says. */
  get #hasTranscription(): boolean {
    const { transcription } = record(record(this.#sessionNow.audio).input)
    return transcription !== null && transcription !== undefined
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#abandonSetup()
    this.#drop(this.#link)
    this.#tools.close()
    this.#agent.close()
  }

  // ---- what the agent asks for (AgentSink)

  configure(session: Record<string, unknown>, extent: 'whole' | 'part'): void {
    const isFirst = this.#asked === undefined
    if (extent === 'part') this.#amended = changed(this.#amended, session)
    else if (!isFirst) this.#amended = without(this.#amended, session)
    this.#asked = changed(this.#asked ?? {}, isFirst ? changed(session, this.#amended) : session)
    this.#session = shapeSession(this.#asked, this.#settings.defaults)
    if (this.#settings.joinsQuiet === true) this.#quietAfterMs = quietAfterMs(this.#sessionNow)
    this.#setup?.configure(this.#sessionToBegin())
    if (this.#link !== undefined) {
      this.#sendSession(this.#link)
      this.#tellTurnTaking()
    }
    if (!isFirst) this.agentChanged()
  }

  sendClientEvent(event: Record<string, unknown>): void {
    const asked = this.#own.ask(event)
    if (asked === undefined) {
      // It means the conversation of the link that serves; what another link must know is in the history.
      this.#link?.send(event)
      return
    }
    this.#tellChange(asked.change)
    this.#link?.send(asked.event)
  }

  #tellChange(change: Change): void {
    const { kind, ...of } = change
    this.#listener.onModelEvent({ kind: kind === 'put' ? 'item-put' : 'item-taken', ...of } as ModelEvent)
  }

  wantResponse(request: ResponseRequest): void {
    this.#listener.onModelEvent({ kind: 'response-wanted', ...request })
  }

  wantInterrupt(): void {
    this.#listener.onModelEvent({ kind: 'interrupt-wanted' })
  }

  toolAnswered(toolCallId: string, name: string, output: string, respond: boolean): void {
    if (this.#tools.answered(toolCallId, name, output))
      this.#listener.onModelEvent({ kind: 'tool-answered', toolCallId, name, output, respond })
  }

  toolFailed(toolCallId: string): void {
    this.#tools.fail(toolCallId)
  }

  isToolAnswered(toolCallId: string): boolean {
    return this.#tools.isAnswered(toolCallId)
  }

  agentChanged(): void {
    this.#listener.onModelEvent({ kind: 'agent-changed' })
  }

  agentFailed(message: string): void {
    this.#listener.onModelEvent({ kind: 'agent-failed', message })
  }

  // ---- what the links tell (LinkListener)

  onLinkAlive(link: Link): void {
    if (link !== this.#link || this.#isSounding) return
    const nowMs = this.#world.clock.monotonicMs()
    if (nowMs - this.#aliveMs < ALIVE_EVERY_MS) return
    this.#aliveMs = nowMs
    this.#listener.onModelEvent({ kind: 'response-alive' })
  }

  onLinkAudio(link: Link, responseId: string, itemId: string, ulaw: Buffer): void {
    if (link !== this.#link || this.#isOnlyHeard) return
    this.#spoken.add(itemId)
    if (responseId !== this.#audioResponse) {
      this.#audioResponse = responseId
      this.#isSounding = true
      this.#fixVoice()
      this.#agent.transport.audioStarted(responseId)
    }
    this.#listener.onModelAudio(responseId, itemId, ulaw)
  }

  onLinkFault(error: unknown): void {
    this.#world.log.error(
      { code: 'SOCKET_FAULT', reason: whereOf(error) },
      'an event of the model could not be handled',
    )
  }

  onLinkUnprovable(): void {
    if (this.#isUnprovableTold) return
    this.#isUnprovableTold = true
    this.#world.log.warn(
      { code: 'LINK_UNPROVABLE' },
      'the model does not answer conversation.item.retrieve; a link that falls silent is noticed later',
    )
  }

  onLinkEnd(link: Link, loss: LinkLoss): void {
    this.#fail(link, link.route.lost(loss))
  }

  onLinkEvent(link: Link, event: ServerEvent): void {
    if (this.#isOnlyHeard) {
      const meaning = link === this.#link ? translate(event) : undefined
      if (meaning?.kind.startsWith('caller-') === true) this.#listener.onModelEvent(meaning)
      return
    }
    if (this.#setup?.link === link) this.#onSetupEvent(this.#setup, event)
    else if (link === this.#link && event.type === 'error') this.#onError(event)
    else if (link === this.#link) this.#onServing(event)
  }

  #onSetupEvent(setup: LinkSetup, event: ServerEvent): void {
    this.#agent.transport.observe(event)
    if (event.type === 'session.created') {
      const said = setup.created(record(event.session).expires_at, this.#world.clock.wallMs())
      if (said === 'implausible')
        this.#world.log.warn({}, 'the model told an implausible time of expiry; its own age counts')
      setup.configure(this.#sessionToBegin())
    } else if (event.type === 'session.updated') {
      setup.link.route.accepted()
      this.#toldVoice = voiceOf(record(event.session)) ?? this.#toldVoice
      this.#replaceVoice()
      this.#becomeReady(setup)
    } else if (event.type === 'error') {
      const error = record(event.error)
      const code = codeOf(error)
      // A configuration that is refused whole is refused again, wherever: fatal. What is not known decides itself by the socket.
      if (error.event_id === CONFIGURE_ID) {
        if (this.#leaveOut(error, setup.configured?.wire)) {
          setup.configureAgain(this.#sessionToBegin())
          return
        }
        setup.link.route.accepted()
        this.#fail(setup.link, { code, fatal: true })
      } else if (isFatalCode(code) || isLimitCode(code)) this.#fail(setup.link, setup.link.route.lost(lossOf(code)))
    }
  }

  #becomeReady(setup: LinkSetup): void {
    if (this.#setup !== setup || setup.configured === undefined) return
    this.#world.wheel.cancel(setup.timer)
    const history = setup.historyNow(this.#listener)
    if (history === undefined) {
      setup.timer = this.#world.wheel.after(RENEWAL_LOOK_MS, () => this.#becomeReady(setup))
      return
    }
    this.#setup = undefined
    const replay = replayEvents(history)
    this.#replayed = new Set([NOTE_ID, ...replay.map(({ item }) => text(item.id))])
    this.#spoken.clear()
    for (const event of replay) setup.link.send(event)
    const before = this.#link
    this.#link = setup.link
    setup.link.serve()
    this.#hasServed = true
    this.#drop(before)
    // The agent has changed it meanwhile (a handoff): what is in force must be the latest.
    if (this.#session !== setup.configured?.of) this.#sendSession(setup.link)
    if (this.#note !== undefined) setup.link.send(systemNote(this.#note, NOTE_ID))
    this.#note = undefined
    this.#tellTurnTaking()
    this.#listener.onModelEvent({ kind: 'ready', expiresInMs: setup.expiresInMs, renewed: setup.isRenewal })
    for (const event of this.#own.overdue()) this.#agent.deliver(event)
    this.#tools.runPending()
  }

  #onServing(event: ServerEvent): void {
    if (event.type === 'response.output_audio_transcript.delta') {
      this.#agent.transport.transcriptDelta(text(event.item_id), text(event.response_id), text(event.delta))
      this.#agent.transport.observe(event)
      return
    }
    const meaning = this.#meaningOf(event)
    if (meaning?.kind === 'tool-called' && this.#tools.isRepeated(meaning.toolCallId)) return
    // From the end of its sound on, each sign of its life says something again (ME9).
    if (meaning?.kind === 'response-started' || meaning?.kind === 'audio-ended') this.#isSounding = false
    if (meaning !== undefined) this.#listener.onModelEvent(meaning)
    else if (event.type.startsWith('response.')) this.onLinkAlive(this.#link!)
    if (this.#isClosed) return
    const itemId = text(record(event.item).id)
    if (event.type === 'conversation.item.added' && this.#own.confirm('put', itemId)) this.#agent.deliver(event)
    else if (event.type === 'conversation.item.deleted') this.#onDeleted(event)
    else if (isForAgent(event) && !this.#replayed.has(itemId)) {
      if (meaning?.kind === 'tool-called') this.#tools.run(event, { ...meaning, argumentsText: meaning.arguments })
      else this.#agent.deliver(this.#asHeard(event, itemId))
    } else this.#agent.transport.observe(event)
  }

  /** What the plane replaces for itself (OS5) is no change of the history. */
  #onDeleted(event: ServerEvent): void {
    if (this.#own.confirm('taken', text(event.item_id))) this.#agent.deliver(event)
    else this.#agent.transport.observe(event)
  }

  /** An item of the agent as the history has it: what was cut stays cut, though the model has made it to its end. */
  #asHeard(event: ServerEvent, itemId: string): ServerEvent {
    const item = record(event.item)
    if (event.type !== 'conversation.item.done' || item.role !== 'assistant') return event
    const said = this.#listener.history?.().findLast((other) => other.kind === 'agent' && other.id === itemId)
    if (said?.kind !== 'agent' || !said.cut) return event
    const content = said.text === '' ? [] : [{ type: 'output_audio', transcript: said.text }]
    return { ...event, item: { ...item, status: 'incomplete', content } }
  }

  #meaningOf(event: ServerEvent): ReturnType<typeof translate> {
    const meaning = translate(event)
    if (meaning?.kind !== 'tool-called') return meaning
    const owner = this.#agent.ownerOf(text(event.response_id))
    return owner === undefined ? meaning : { ...meaning, owner }
  }

  #runTool(event: ServerEvent, { toolCallId, name, owner }: PendingTool): void {
    if (this.#agent.runTool(event, owner)) return
    this.#world.log.warn({}, 'a tool was not run: its agent is not in this release of the module')
    this.#declineTool(toolCallId, name, GONE_TOOL)
  }

  /** The model was told that a tool had not answered; now it has. */
  #tellLate(name: string, output: string): void {
    this.sendClientEvent(systemNote(`The tool ${name} has answered after all: ${output}`))
    this.wantResponse({})
  }

  #declineTool(toolCallId: string, name: string, words: string): void {
    this.#tools.settle(toolCallId)
    this.sendClientEvent(toolOutput(toolCallId, words))
    this.#listener.onModelEvent({ kind: 'tool-answered', toolCallId, name, output: words, respond: true })
  }

  #onError(event: ServerEvent): void {
    if (isProof(event)) {
      this.#listener.onModelEvent({ kind: 'link-alive' })
      return
    }
    const error = record(event.error)
    const code = codeOf(error)
    const requestId = text(error.event_id) || undefined
    if (requestId === RECONFIGURE_ID && this.#link !== undefined && this.#leaveOut(error, this.#sent)) {
      this.#sendSession(this.#link)
      return
    }
    const refused = requestId === undefined ? undefined : this.#own.refused(requestId)
    if (refused !== undefined) this.#onChangeRefused(refused)
    if (code === 'session_expired' || isFatalCode(code)) {
      if (this.#link !== undefined) this.#fail(this.#link, this.#link.route.lost(lossOf(code)))
      return
    }
    if (!isWeather(code)) this.#world.log.warn({ code, requestId }, 'the model refused a request')
    this.#listener.onModelEvent({ kind: 'request-refused', code, requestId })
    if ((!requestId?.startsWith('vp-') || requestId === RECONFIGURE_ID) && !isWeather(code)) this.#agent.deliver(event)
  }

  /** [OI3] */
  #onChangeRefused(change: Change): void {
    if (change.kind === 'put') this.#listener.onModelEvent({ kind: 'item-taken', id: change.id })
    else for (const event of confirmationsOf(change, {})) this.#agent.deliver(event)
  }

  /** Tells the call who ends turns, when that changed (SH4). */
  #tellTurnTaking(): void {
    const { autoRespond, interrupts } = turnTakingIn(this.#sessionNow)
    const told = this.#turnTaking
    if (told.autoRespond === autoRespond && told.interrupts === interrupts) return
    this.#turnTaking = { autoRespond, interrupts }
    this.#listener.onModelEvent({ kind: 'configured', autoRespond, interrupts })
  }

  /** The configuration in force: what was refused is not in it (RFF2). */
  get #sessionNow(): Record<string, unknown> {
    return this.#refused.without(this.#session ?? {})
  }

  /** Sends the configuration to a link that serves; without the voice once it has spoken (OS3). */
  #sendSession(link: Link): void {
    const session = this.#sessionNow
    this.#sent = this.#voice === undefined ? session : withoutVoice(session)
    link.send({ type: 'session.update', event_id: RECONFIGURE_ID, session: this.#sent })
  }

  /** The configuration of a new link: a conversation that has spoken keeps its voice (OS3). */
  #sessionToBegin(): Configuration | undefined {
    if (this.#session === undefined) return undefined
    const wire = this.#voice === undefined ? this.#session : withVoice(this.#session, this.#voice.name)
    return { of: this.#session, wire: this.#refused.without(wire) }
  }

  /** [RFF1][RFF5] True when the configuration is to be sent again, without the setting that `error` speaks of. */
  #leaveOut(error: Record<string, unknown>, sent: Record<string, unknown> | undefined): boolean {
    const setting = this.#refused.refuse(sent ?? {}, error.param)
    if (setting === undefined) return false
    const { refusals } = this.#settings
    const reason = clip(text(error.message), REFUSAL_MAX_CHARS)
    const said = refusals?.tell(setting, reason) === false ? 'debug' : 'warn'
    this.#world.log[said](
      { code: 'MODEL_SETTING_REFUSED', setting, reason },
      'the model refused a setting of the agent: calls go on without it',
    )
    if (this.#settings.joinsQuiet === true) this.#quietAfterMs = quietAfterMs(this.#sessionNow)
    if (this.#link !== undefined) this.#tellTurnTaking()
    return true
  }

  #fixVoice(): void {
    if (this.#voice !== undefined) return
    this.#voice = { name: voiceOf(this.#sessionNow) ?? this.#toldVoice }
    this.agentChanged()
  }

  /** The voice that has spoken is one that the provider of this link does not know: its own takes over. */
  #replaceVoice(): void {
    if (this.#voice === undefined || !this.#refused.isRefused(VOICE_PATH, this.#voice.name)) return
    this.#voice = { name: this.#toldVoice }
    this.agentChanged()
  }

  #fail(link: Link, loss: ModelLoss): void {
    if (this.#isClosed) return
    if (this.#setup?.link === link) {
      const { isRenewal } = this.#setup
      this.#abandonSetup()
      this.#listener.onModelEvent(isRenewal ? { kind: 'renewal-failed', loss } : { kind: 'lost', loss })
    } else if (link === this.#link) {
      this.#drop(link)
      this.#abandonSetup()
      this.#listener.onModelEvent({ kind: 'lost', loss })
    }
  }

  #abandonSetup(): void {
    const setup = this.#setup
    this.#setup = undefined
    this.#world.wheel.cancel(setup?.timer)
    setup?.link.close()
  }

  #drop(link: Link | undefined): void {
    if (this.#link === link) this.#link = undefined
    link?.close()
  }
}
