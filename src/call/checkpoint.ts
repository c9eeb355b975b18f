// The checkpoint of a call: its state, versioned, as JSON. Rules:
// CK1: what was written by another version, or is no checkpoint, is `unreadable`, never an exception. A field that an earlier
//      program of this version did not write has its initial value.
// CK2: a call that comes back begins with its history and its counts, and with no model, no leg and no response: those died
//      with the other pod. After a loss it speaks first; after a handover only if it owed an answer.
// CK3: a tool that was called and has not answered stays in the history without an output; one that answered after the
//      checkpoint was written gets its answer.
// CK4: the call's time goes on between pods: by the wall clock from its checkpoint to here, at least 0 and at most GAP_MAX_MS, so that clocks
//      that differ cannot end a call or give it much time.
// CK5: a call that comes back from a transfer which was not answered speaks first, and has lost neither pod nor socket by that. Until its agent
//      has spoken, it is a call whose agent must hear of that (untoldTransfer).
import { NEW_AGENT } from './agent-state.ts'
import type { PendingTool } from './ports.ts'
import { type CallState, initialState, STATE_VERSION, type TransferOutcome } from './state.ts'
import { itemIdOf, type TranscriptItem } from './transcript.ts'

/** The longest that a call is taken to have been between two pods. */
export const GAP_MAX_MS = 120_000

/** A tool call as the records know it. */
type KnownTool = { toolCallId: string; name: string; argumentsText: string; output: string | undefined }

/** A checkpoint as read. */
export type CheckpointReading = { kind: 'read'; state: CallState } | { kind: 'unreadable'; reason: string }

/** The state as text, to be stored. */
export function writeCheckpoint(state: CallState): string {
  // `resumes`: a pod of an earlier version, which runs beside this one in a rollout, counts by it.
  return JSON.stringify({ ...state, resumes: state.failovers })
}

/** Reads what `writeCheckpoint` wrote. */
export function readCheckpoint(text: string): CheckpointReading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'unreadable', reason: 'is not JSON' }
  }
  if (typeof value !== 'object' || value === null) return { kind: 'unreadable', reason: 'is not an object' }
  const state = value as CallState
  if (state.version !== STATE_VERSION) return { kind: 'unreadable', reason: 'has another version' }
  if (!Array.isArray(state.transcript?.items) || typeof state.phase?.kind !== 'string') {
    return { kind: 'unreadable', reason: 'lacks its transcript or phase' }
  }
  // An older version of the program wrote fewer fields.
  return { kind: 'read', state: { ...initialState(), ...state, agent: { ...NEW_AGENT, ...state.agent } } }
}

/**
 * The state with which a call goes on after `how`; `before` is its checkpoint, undefined when none was written. `wallMs`: the clock here,
 * which need not be that of the machine that wrote it (CK4). `dialed`: it comes back from a transfer, which ended so (CK5).
 */
export function resumeFrom(
  before: CallState | undefined,
  how: 'failover' | 'handover',
  tools: readonly KnownTool[],
  wallMs: number,
  dialed?: TransferOutcome,
): CallState {
  const fresh = initialState()
  const isLost = how === 'failover' && dialed === undefined
  const failovers = (before?.failovers ?? 0) + (isLost ? 1 : 0)
  const handovers = (before?.handovers ?? 0) + (how === 'handover' ? 1 : 0)
  const transfers = [...(before?.transfers ?? []), ...(dialed === undefined ? [] : [dialed])]
  const lastItem = before?.transcript.items.at(-1)
  const afterItem = lastItem === undefined ? '' : itemIdOf(lastItem)
  const returned = dialed === undefined ? before?.returned : { outcome: dialed, afterItem }
  if (before === undefined) return { ...fresh, resume: how, failovers, handovers, transfers, returned }
  const owesAnswer =
    before.owed !== undefined ||
    before.response.kind !== 'idle' ||
    before.wanted !== undefined ||
    before.isCallerSpeaking
  const { hasGreeted, requests, bargeIns, turns, usage, digits, keyMessages, agent, transcript, strikes, dials } =
    before
  const { isQuietAsked, isTimeNear, isMoneyNear, isEchoTold, hasTakenBack } = before
  const items = withTools(transcript.items, tools)
  const out = toolsOut(items)
  return {
    ...fresh,
    resume: dialed === undefined ? how : undefined,
    modelRedials: before.modelRedials,
    failovers,
    handovers,
    transfers,
    returned,
    hasGreeted,
    wanted: hasGreeted && (how === 'failover' || owesAnswer) ? (before.wanted ?? {}) : undefined,
    requests,
    bargeIns,
    turns,
    usage,
    digits,
    keyMessages,
    strikes,
    tools: out.map(({ toolCallId: id }) => ({ id, holds: true })),
    agent,
    dials,
    lastedMs: before.lastedMs + gapMs(before.atWallMs, wallMs),
    quietFromMs: owesAnswer ? undefined : before.quietFromMs,
    isQuietAsked,
    isTimeNear,
    isMoneyNear,
    isEchoTold,
    hasTakenBack,
    transcript: { ...transcript, items },
  }
}

/** [CK5] How the transfer ended of which the agent may not have heard: it has said nothing since. */
export function untoldTransfer({ returned, transcript: { items } }: CallState): TransferOutcome | undefined {
  if (returned === undefined) return undefined
  const at = items.findIndex((item) => itemIdOf(item) === returned.afterItem)
  if (at < 0 && returned.afterItem !== '') return undefined
  return items.slice(at + 1).some(({ kind }) => kind === 'agent') ? undefined : returned.outcome
}

/** [CK4] `fromMs` 0: an earlier program wrote it, and said no time. */
function gapMs(fromMs: number, wallMs: number): number {
  return fromMs === 0 ? 0 : Math.min(GAP_MAX_MS, Math.max(0, wallMs - fromMs))
}

function withTools(items: readonly TranscriptItem[], tools: readonly KnownTool[]): TranscriptItem[] {
  const result = items.slice()
  for (const { toolCallId: id, name, argumentsText, output } of tools) {
    const at = result.findIndex((item) => item.kind === 'tool' && item.id === id)
    const before = result[at]
    if (before === undefined) result.push({ kind: 'tool', id, name, arguments: argumentsText, output })
    else if (before.kind === 'tool' && before.output === undefined) result[at] = { ...before, output }
  }
  return result
}

/** The tools of a state that were called and have not answered. */
export function pendingTools(state: CallState): PendingTool[] {
  return toolsOut(state.transcript.items)
}

function toolsOut(items: readonly TranscriptItem[]): PendingTool[] {
  return items.flatMap((item) =>
    item.kind === 'tool' && item.output === undefined
      ? [
          {
            toolCallId: item.id,
            name: item.name,
            argumentsText: item.arguments,
            itemId: itemIdOf(item),
            ...(item.owner === undefined ? {} : { owner: item.owner }),
          },
        ]
      : [],
  )
}

/** Nobody speaks and nothing is being made. */
export function isQuiet({ response, wanted, isCallerSpeaking, owed }: CallState): boolean {
  return owed === undefined && response.kind === 'idle' && wanted === undefined && !isCallerSpeaking
}

/**
 * Nobody is about to speak and no tool is out: the model has said all it has to say (the caller may still hear it). `butCaller`: the caller
 * may be thought to speak.
 */
export function isSettled(whole: CallState, butCaller = false): boolean {
  const state = butCaller ? { ...whole, isCallerSpeaking: false } : whole
  const { phase, model, digits } = state
  const isServed = phase.kind === 'live' && model.kind === 'ready' && !model.isRenewing
  return isQuiet(state) && digits === '' && isServed && pendingTools(state).length === 0
}

/** Did something happen that another pod would have to know? */
export function isWorthKeeping(before: CallState, after: CallState): boolean {
  return (
    before.transcript !== after.transcript ||
    before.phase.kind !== after.phase.kind ||
    before.response.kind !== after.response.kind ||
    before.wanted !== after.wanted ||
    (before.owed === undefined) !== (after.owed === undefined) ||
    before.isCallerSpeaking !== after.isCallerSpeaking ||
    before.hasGreeted !== after.hasGreeted ||
    before.agentChanges !== after.agentChanges ||
    before.failovers !== after.failovers
  )
}
