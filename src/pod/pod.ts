// One pod's control of its calls: stores, admission, leases, call control and life, put together. Rules:
// PD1: a pod without REDIS_URL is alone: it drains by waiting, also for calls that may come back (their socket broke, their transfer rings), and ends what
//      remains at the deadline with a sentence.
// PD2: a pod of a fleet drains by handing over; what remains at the deadline is relinquished after its last checkpoint and goes on elsewhere.
// PD4: whoever began it (a signal, POST /drain, a fence), a pod whose calls are gone says so once (`gone`): its process is to exit.
// PD3: a pod that fences itself writes nothing more for its calls.

import type { Call } from '../call/call.ts'
import type { EndCause } from '../call/end-cause.ts'
import { callIdOf, ownNumberOf } from '../call/identity.ts'
import { amountsOf } from '../call/tariff.ts'
import type { StreamControl } from '../call-control/call-control.ts'
import { CallFinalizer, type CallFinalizerParts } from '../call-control/call-finalizer.ts'
import { makePlacesOf } from '../call-control/caller-places.ts'
import { Handover } from '../call-control/handover.ts'
import { openHistory } from '../call-control/history.ts'
import { Overflows } from '../call-control/overflow.ts'
import { makePeers, type PeerAnswers, type Peers } from '../call-control/peers.ts'
import type { PodCall } from '../call-control/pod-call.ts'
import { PodCallControl } from '../call-control/pod-call-control.ts'
import { PodCalls } from '../call-control/pod-calls.ts'
import { Rescuer } from '../call-control/rescue/rescuer.ts'
import { StreamAdmission } from '../call-control/stream-admission.ts'
import { StreamGrants } from '../call-control/stream-grants.ts'
import { Links } from '../carrier/twilio/answers/links.ts'
import { makeLiveCalls } from '../carrier/twilio/rest/live-calls.ts'
import type { CarrierRest } from '../carrier/twilio/rest/rest.ts'
import { Admission } from '../control/admission.ts'
import { LeaseKeeper } from '../control/lease-keeper.ts'
import type { Limits } from '../control/limits.ts'
import { PodDriver } from '../control/pod-driver.ts'
import type { ExitCause } from '../control/pod-life.ts'
import type { PodHeartbeat } from '../control/ports.ts'
import { type CallSpending, Spending } from '../control/spending.ts'
import { askWithin } from '../control/store-answer.ts'
import { TransferPolicy } from '../control/transfer-policy.ts'
import { messageOf } from '../kit/errors.ts'
import { type CallSid, newIncarnation } from '../kit/ids.ts'
import { Wheel } from '../kit/wheel.ts'
import { callJudge } from './call-back-line.ts'
import { carrierRestOf } from './carrier-rest.ts'
import { FleetView } from './fleet-view.ts'
import type { PodParts } from './pod-parts.ts'
import { lagReader, lifeOf, limitsOf } from './pod-settings.ts'
import { NOT_MIGRATED, SchemaWatch } from './schema-watch.ts'
import { openStores, type Stores } from './stores.ts'

const CONTROL_TICK_MS = 50
const CONFIGURE_MS = 1_000
const FLUSH_MS = 3_000
/** How long another pod may take to say whether it has a call that is over. */
const TELL_MS = 1_000

export class Pod {
  readonly callControl: PodCallControl
  readonly streamAdmission: StreamAdmission
  readonly calls: PodCalls
  readonly finalizer: CallFinalizer
  readonly driver: PodDriver
  readonly keeper: LeaseKeeper
  readonly fleet: FleetView
  readonly #parts: PodParts
  readonly #stores: Stores
  readonly #limits: Limits
  /** Timers of the pod itself; the calls' wheel rests when there is no call. */
  readonly #wheel: Wheel
  readonly #peers: Peers
  readonly #admission: Admission
  readonly #handover: Handover
  readonly #spending: Spending
  readonly #rescuer: Rescuer
  readonly #schema: SchemaWatch | undefined
  readonly #incarnation = newIncarnation()
  readonly #gone = Promise.withResolvers<ExitCause>()
  #closing: Promise<void> | undefined
  onCallEnded: ((call: Call, cause: EndCause) => void) | undefined

  static async open(parts: PodParts): Promise<Pod> {
    const { log, clock } = parts.world
    const wheel = new Wheel({
      clock,
      tickMs: CONTROL_TICK_MS,
      onError: (error) => log.error({ reason: String(error) }, 'a timer of the pod failed'),
    })
    const limits = parts.pools?.limits ?? limitsOf(parts.config)
    const onFenced = (callSid: CallSid) => pod.fenced(callSid)
    const stores = parts.stores ?? (await openStores(parts.config, { clock, wheel, log }, onFenced))
    const rest = stores.isAlone ? undefined : await carrierRestOf(parts.config, log)
    const pod: Pod = new Pod(parts, stores, limits, wheel, rest)
    return pod
  }

  private constructor(parts: PodParts, stores: Stores, limits: Limits, wheel: Wheel, rest: CarrierRest | undefined) {
    this.#parts = parts
    this.#stores = stores
    this.#limits = limits
    this.#wheel = wheel
    const { config, pack, makeModel, shape, world } = parts
    const { podName: pod } = config
    const { leases, records, recordings, checkpoints, isAlone, checkTables } = stores
    this.#schema =
      checkTables === undefined ? undefined : new SchemaWatch({ check: checkTables, wheel, log: world.log })
    const { overLooksMs } = parts
    const history = openHistory(config.fleet.historyFile, pod)
    const control = { ...world, wheel }
    const pods = () => this.keeper.pods()
    const grants = new StreamGrants(parts.tokens, world.clock)
    this.#peers = makePeers(config.streamToken.secret, () => world.clock.wallMs())
    const placesOf = makePlacesOf({
      secret: config.streamToken.secret,
      perCaller: config.call.callsPerCaller,
      withheldPercent: config.call.withheldPercent,
      limit: limits.cell.pools.reduce((sum, { callsMax }) => sum + callsMax, 0),
    })
    const tellHolder: CallFinalizerParts['tellHolder'] = (lease, cause) =>
      this.#tellHolder(lease.pod, lease.callSid, cause)
    const kept = { records, leases, recordings }
    this.finalizer = new CallFinalizer({ ...kept, overLooksMs, tellHolder, ...control })
    const leaveQueue = (callSid: CallSid): void => {
      leases
        .leave(callSid)
        .catch((error: unknown) =>
          world.log.warn(
            { callSid, reason: messageOf(error) },
            'a waiting caller could not be taken out; the place expires',
          ),
        )
    }
    this.calls = new PodCalls({
      pack,
      makeModel,
      shape,
      records: checkpoints === undefined ? undefined : records,
      checkpoints,
      placesOf,
      history,
      world,
      transfers: new TransferPolicy({
        rule: config.call.transferAllow,
        ownNumbers: limits.ownNumbers,
        fallbackNumber: config.twilio.fallbackNumber,
        perCaller: config.call.transfersPerCaller,
        withheld: config.call.transfersWithheld,
        clock: world.clock,
      }),
      movePool: (request) => this.#admission.movePool(request),
      finalizer: this.finalizer,
      timers: wheel,
      leaveQueue,
      onEnded: (podCall, cause, hasActed) => {
        if (hasActed) this.#spending.ended(this.#spendingOf(podCall))
        this.onCallEnded?.(podCall.call, cause)
      },
    })
    this.keeper = new LeaseKeeper({
      store: leases,
      clock: world.clock,
      wheel,
      log: world.log,
      held: () => this.calls.leases(),
      announcement: () => this.#announcement(),
      onFenced: (callSid) => this.fenced(callSid),
      onSelfFence: () => this.driver.fence(),
      askPeers: () => this.fleet.askPeers(),
      onReaped: (reaped) => this.#rescuer.reaped(reaped),
    })
    this.fleet = new FleetView({ pod, leases, peers: this.#peers, pods, wheel })
    this.driver = new PodDriver({
      clock: world.clock,
      wheel,
      log: world.log,
      settings: lifeOf(config, isAlone, world.log),
      // Another pod goes on with a call of a fleet; of a pod alone nobody does.
      calls: () => [...this.calls.callSids(), ...(isAlone ? this.calls.comingBack() : [])],
      readLag: lagReader(parts.lag),
      storeAgoMs: () => this.keeper.lastSuccessAgoMs,
      actions: {
        announce: () => this.keeper.announceNow(),
        handOver: (callSid, cause) => this.handOver(callSid, cause),
        force: (cause) => void this.#force(cause),
        flush: () => this.#flush(),
        exit: (cause) => this.#gone.resolve(cause),
      },
    })
    const { tenantDay } = config.call
    this.#spending = new Spending({
      store: leases,
      budgetOf: (tenant) => {
        const { minutes, money } = limits.budgetOf(tenant)
        return { minutes: minutes ?? tenantDay.minutes, money: money ?? tenantDay.money }
      },
      live: () => this.calls.all().flatMap((podCall) => (podCall.isActive ? [this.#spendingOf(podCall)] : [])),
      wheel,
      log: world.log,
      onLimit: (limit) => world.metrics.limits.add(limit),
    })
    this.#admission = new Admission({
      store: leases,
      clock: world.clock,
      wheel,
      log: world.log,
      self: { pod, address: '', callsMax: config.call.callsMax },
      newCallsMax: () => this.newCallsMax,
      limits: () => limits.cell,
      ceilingOf: (pool) => parts.pools?.ceilingOf(pool) ?? Number.POSITIVE_INFINITY,
      held: () => this.calls.leases(),
      seen: this.keeper,
      takesCalls: () => this.driver.takesWebhooks,
      isReady: () => this.driver.isReady,
    })
    const admissionParts = {
      pod,
      calls: this.calls,
      leases,
      records,
      tenantOf: limits.tenantOf,
      history,
      world: control,
    }
    this.streamAdmission = new StreamAdmission({
      ...admissionParts,
      isTaking: () => this.driver.takesWebhooks,
    })
    const overflows = new Overflows({
      kind: config.overflow.kind,
      language: config.fleet.callerLanguage,
      fallbackNumber: config.twilio.fallbackNumber,
      store: stores.overflow,
      canCall: config.overflow.callBackFrom !== undefined,
      mayCall: callJudge(config, limits.ownNumbers),
      callerOf: ({ callSid, from, to, direction }) => ({
        ...{ callId: callIdOf(callSid), callSid, from, to, direction, pod },
        tenant: limits.tenantOf(ownNumberOf({ from, to, direction })),
        ...{ pack: pack.name, packVersion: pack.version },
      }),
      retry: (what, attempt) => this.finalizer.retry(what, attempt),
      onKept: (what, outcome) => world.metrics.overflows.add(`${what}-${outcome}`),
      ...control,
    })
    this.callControl = new PodCallControl({
      overflows,
      ...{
        pod,
        packOf: pack,
        calls: this.calls,
        streamAdmission: this.streamAdmission,
        finalizer: this.finalizer,
      },
      admission: this.#admission,
      leases,
      leaveQueue,
      records,
      peers: this.#peers,
      grants,
      tenantOf: limits.tenantOf,
      placesOf,
      isOverBudget: (tenant) => this.#spending.isOver(tenant),
      queue: {
        isOpen: limits.cell.queueMax > 0,
        waitMaxMs: limits.waitMaxMs ?? config.fleet.queueWaitMaxMs,
        language: config.fleet.callerLanguage,
      },
      fallbackNumber: config.twilio.fallbackNumber,
      sorry: parts.sorry,
      isDraining: () => !this.driver.takesWebhooks,
      isFull: () => this.#stores.isAlone && this.driver.isFull,
      onResume: (cause, outcome) => world.metrics.resumed(cause, outcome),
      world: control,
    })
    const { calls } = this
    const shared = { pod, calls, admission: this.#admission, peers: this.#peers, records, grants, placesOf }
    this.#handover = new Handover({ ...shared, checkpoints, pods, world })
    this.#rescuer = new Rescuer({
      ...{ pod, leases, records, finalizer: this.finalizer, peers: this.#peers, pods, ...control },
      carrier: rest && makeLiveCalls(rest, () => new Links(parts.baseUrl).next()),
      usage: () => this.fleet.usage,
      isHeld: (callSid) => this.calls.get(callSid)?.isActive === true,
      onRescue: (outcome) => world.metrics.rescues.add(outcome),
      times: parts.rescueTimes,
    })
  }

  get streams(): StreamControl {
    return {
      enter: (callSid, epoch) => this.streamAdmission.enter(callSid, epoch),
      opened: (callSid, epoch, picked) => this.#streamOpened(callSid, epoch, picked),
      attach: (callSid, leg) => this.callControl.attach(callSid, leg),
      neverStarted: (callSid, epoch) => this.#streamNeverStarted(callSid, epoch),
    }
  }

  get peerAnswers(): PeerAnswers {
    return {
      expect: (call) => this.streamAdmission.expect(call),
      forget: (callSid, epoch) => this.calls.forget(callSid, epoch),
      ended: async (end) => {
        const isHeld = this.callControl.endedHere(end)
        if (isHeld) await this.finalizer.known(end.callSid)
        return isHeld
      },
      storeState: () => this.keeper.storeState,
    }
  }

  /** Why this pod takes no new calls; none means that it does. */
  notReady(): string[] {
    const reasons: string[] = this.driver.takesWebhooks && this.driver.phase !== 'warming' ? [] : [this.driver.phase]
    if (this.#schema?.isMissing === true) reasons.push(NOT_MIGRATED)
    return reasons
  }

  /** What of a call is to be told as spent here; without prices it has no cost. */
  #spendingOf({ origin, call, before }: PodCall): CallSpending {
    const { prices } = this.#parts.config.work
    const { callSid, tenant } = origin
    const { lastedMs } = call
    const ms = lastedMs - before.lastedMs
    if (prices === undefined) return { callSid, tenant, ms, money: 0 }
    const sum = ({ modelAmount, carrierAmount }: ReturnType<typeof amountsOf>) => modelAmount + carrierAmount
    const money =
      sum(amountsOf(call.state.usage, lastedMs, prices)) - sum(amountsOf(before.usage, before.lastedMs, prices))
    return { callSid, tenant, ms, money }
  }

  /** New calls may be placed here while it holds less: the configured bound, or what its core carries when that is less (CAP2). */
  get newCallsMax(): number {
    return Math.min(this.#parts.config.call.callsMax, this.driver.capacity.callsFit ?? Number.POSITIVE_INFINITY)
  }

  /** Tells the store of this pod and its limits, and begins to take calls. */
  async start(): Promise<void> {
    const answer = await askWithin(this.#wheel, CONFIGURE_MS, () => this.#stores.leases.configure(this.#limits.cell))
    if (answer.kind === 'away')
      this.#parts.world.log.warn({ code: 'STORE_UNAVAILABLE', reason: answer.reason }, 'the store is away')
    this.driver.start()
    this.#schema?.start()
    await this.keeper.start()
    await this.keeper.announceNow()
    this.fleet.start()
    this.#spending.start()
    if (!this.#stores.isAlone) this.#rescuer.start()
    const seen = { fleet: this.fleet, keeper: this.keeper }
    this.#parts.pools?.watch({ leases: this.#stores.leases, wheel: this.#wheel, ...seen })
  }

  fenced(callSid: CallSid): void {
    this.calls.fenced(callSid)
  }

  /** A stream was let in and its socket has gone: its carrier will ask what follows. */
  #streamNeverStarted(callSid: CallSid, epoch: number): void {
    const podCall = this.calls.get(callSid)
    if (podCall?.epoch === epoch) podCall.call.relinquish('carrier-lost')
  }

  /** A stream of `epoch` was let in here; `picked`: the pod that was to get it. [MD4] */
  #streamOpened(callSid: CallSid, epoch: number, picked: string): void {
    const address = this.#addressOf(picked)
    if (address !== undefined) void this.#peers.forget(address, { callSid, epoch })
  }

  /** [PD4] */
  get gone(): Promise<ExitCause> {
    return this.#gone.promise
  }

  /** Drains; resolves when no call is left, or at the deadline. A second one closes all calls now. */
  async drain(): Promise<void> {
    this.driver.signal()
    await this.#gone.promise
  }

  endAll(): void {
    this.calls.noMore()
    for (const { call } of this.calls.all()) call.drainOver()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#stores.isAlone) {
      this.endAll()
      this.calls.endTransfers()
    } else await this.#force('closing')
    this.driver.close()
    this.#schema?.close()
    this.fleet.close()
    this.#rescuer.close()
    await this.finalizer.settled(FLUSH_MS)
    await this.#spending.close()
    await this.keeper.stop()
    this.#wheel.close()
    await this.#stores.close()
  }

  #announcement(): PodHeartbeat {
    const { config, address } = this.#parts
    const { isAlone } = this.#stores
    const lags = this.driver.phase === 'cordoned'
    return {
      pod: config.podName,
      incarnation: this.#incarnation,
      address: address(),
      state:
        this.driver.takesWebhooks && (isAlone || (lags && !this.driver.isFull && this.fleet.isNeeded()))
          ? 'ready'
          : this.driver.podState,
      callsMax: config.call.callsMax,
      newCallsMax: this.newCallsMax,
      penalty: isAlone ? 0 : this.driver.penalty,
    }
  }

  /** Gives a call of this pod to another one; true when it is no longer this pod's. */
  async handOver(callSid: CallSid, cause: 'drain' | 'lag'): Promise<boolean> {
    if (this.#stores.isAlone) return false
    const podCall = await this.calls.made(callSid)
    return podCall === undefined || this.#handover.give(podCall, cause)
  }

  /** Where another pod is reached, as far as it was seen; undefined for this one. */
  #addressOf(pod: string): string | undefined {
    if (pod === this.#parts.config.podName) return undefined
    return this.keeper.pods().find((one) => one.pod === pod && one.state !== 'down')?.address
  }

  async #tellHolder(pod: string, callSid: CallSid, cause: EndCause): Promise<boolean> {
    const address = this.#addressOf(pod)
    if (address === undefined) return false
    const told = { callSid, cause: cause === 'carrier-lost' ? cause : ('caller-hung-up' as const) }
    return (await this.#peers.ended(address, told, TELL_MS)).kind === 'held'
  }

  /** PD1, PD2, PD3. */
  async #force(cause: 'deadline' | 'second-signal' | 'fenced' | 'closing'): Promise<void> {
    if (this.#stores.isAlone) {
      this.endAll()
      return
    }
    this.calls.noMore()
    if (cause !== 'fenced') await this.#flush()
    for (const podCall of this.calls.all()) this.calls.relinquish(podCall, 'moved')
  }

  async #flush(): Promise<void> {
    this.calls.writeNow()
    await this.#stores.checkpoints?.flush(undefined, FLUSH_MS)
  }
}
