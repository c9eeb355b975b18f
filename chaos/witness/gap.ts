// What a caller hears of a fault. Rules:
// GP1: a fault hit a call whose stream was open at it and was ended by the plane's side within BROKEN_US after it, wherever the URL
//      had said the stream should go; and one whose stream named the pod and was not heard again on that stream. (A stream that named a
//      pod and goes on being heard was taken by another: a proxy sends it on when the named one is down.)
// GP2: the gap runs from the fault (the last moment at which the pod lived) to the first audible frame of the agent on a later
//      stream. It counts silence that would have been there anyway, so it is never too short.
// GP3: a call that was never heard again is no gap: it counts against the share of calls that talk again.
// GP4: a call that the caller ended less than TIME_TO_TALK_US after the fault is left out and counted.
import type { CallStory, StreamStory } from './call-story.ts'
import type { Fault } from './fault-log.ts'

/** What the carrier still holds of a pod's audio has been heard by then. */
const STILL_HEARD_US = 2_000_000
/** A proxy that cuts a frozen pod's sockets does so within 3.5 s. */
const BROKEN_US = 5_000_000
const TIME_TO_TALK_US = 10_000_000
/** A caller's turn counts as answered when the agent is heard so soon after its beginning. */
const ANSWER_US = 20_000_000

export type Hit = {
  call: number
  faultUs: number
  /** GP2; undefined: not heard again. */
  gapMs: number | undefined
  /** The caller spoke on the later stream and the agent was heard after it; undefined: there was no time to see. */
  isAnswered: boolean | undefined
  /** From the fault to the end of the broken stream, to the action request, and to the next stream's opening, ms. */
  steps: { brokenMs: number | undefined; actionMs: number | undefined; openedMs: number | undefined }
}

export type Hits = { hits: Hit[]; leftOut: number }

/** The streams open at a moment. */
export function streamAt(story: CallStory, atUs: number): StreamStory | undefined {
  return story.streams.find(({ openedUs, closedUs }) => openedUs <= atUs && (closedUs === undefined || closedUs > atUs))
}

/** [GP1] The calls that a fault hit; `untilUs`: when the call's next fault, or the run, came. */
export function hitsOf(fault: Fault, calls: Iterable<CallStory>, untilUs: number): Hits {
  const hits: Hit[] = []
  let leftOut = 0
  for (const story of calls) {
    const stream = streamAt(story, fault.atUs)
    if (stream === undefined || !isHit(stream, fault)) continue
    const endedUs = Math.min(untilUs, story.ends[0]?.atUs ?? untilUs)
    const hit = hitOf(story, stream, fault.atUs, endedUs)
    const hadTime = endedUs - fault.atUs >= TIME_TO_TALK_US || story.ends[0]?.cause !== 'caller-hung-up'
    if (hit.gapMs === undefined && !hadTime) leftOut++
    else hits.push(hit)
  }
  return { hits, leftOut }
}

function isHit(stream: StreamStory, fault: Fault): boolean {
  const { by, closedUs, heard } = stream
  if (by === 'plane' && closedUs !== undefined && closedUs - fault.atUs <= BROKEN_US) return true
  return stream.pod === fault.pod && !heard.some(({ toUs }) => toUs > fault.atUs + STILL_HEARD_US)
}

function hitOf(story: CallStory, stream: StreamStory, faultUs: number, endedUs: number): Hit {
  const later = story.streams.filter(({ number, openedUs }) => number > stream.number && openedUs <= endedUs)
  const heardUs = later.flatMap((one) => one.heardUs ?? []).at(0)
  const since = (atUs: number | undefined): number | undefined =>
    atUs === undefined ? undefined : (atUs - faultUs) / 1_000
  return {
    call: story.call,
    faultUs,
    gapMs: since(heardUs),
    isAnswered: heardUs === undefined ? false : isAnswered(story, later, heardUs, endedUs),
    steps: {
      brokenMs: since(stream.closedUs),
      actionMs: since(story.actionsUs.find((atUs) => atUs > faultUs)),
      openedMs: since(later[0]?.openedUs),
    },
  }
}

function isAnswered(
  story: CallStory,
  later: readonly StreamStory[],
  heardUs: number,
  endedUs: number,
): boolean | undefined {
  const turnUs = story.turnsUs.find((atUs) => atUs > heardUs)
  if (turnUs === undefined) return undefined
  if (isHeardAfter(later, turnUs, Math.min(endedUs, turnUs + ANSWER_US))) return true
  return turnUs + ANSWER_US <= endedUs ? false : undefined
}

function isHeardAfter(streams: readonly StreamStory[], fromUs: number, toUs: number): boolean {
  return streams.some(({ heard }) => heard.some((one) => one.fromUs > fromUs && one.fromUs <= toUs))
}

/**
 * The silence that a planned move made, ms: from the end of the old stream to the opening of the next, in which neither side can be
 * heard; and on to the first audible frame of the agent when it owed the caller an answer. What the caller thinks over is natural.
 */
export function moveSilenceMs(story: CallStory, number: number): number | undefined {
  const from = story.streams.find((stream) => stream.number === number)
  const to = story.streams.find((stream) => stream.number > number)
  if (from?.closedUs === undefined || to === undefined) return undefined
  const untilUs = owesAnswer(story, from.closedUs) ? to.heardUs : to.openedUs
  return untilUs === undefined ? undefined : (untilUs - from.closedUs) / 1_000
}

/** The caller spoke last: the agent was not heard since the end of the caller's last turn, or the caller was speaking still. */
function owesAnswer(story: CallStory, atUs: number): boolean {
  const turnUs = story.turnsUs.findLast((one) => one < atUs)
  if (turnUs === undefined) return false
  return !story.streams.some(({ heard }) =>
    heard.some(({ fromUs, toUs }) => toUs > turnUs && fromUs < atUs && fromUs > turnUs),
  )
}
