// What the model simulator saw: its live sessions at each instant, whose they were, what they asked. Rules:
// SE1: the simulator is the witness of the ceiling: a session lives from its 101 until its socket is closed, as the provider
//      would count it, whatever the plane believes.
// SE2: a session belongs to the call whose probe frame it heard first; one that heard none belongs to no known call.
import type { WitnessLine } from '../../load/report/witness.ts'

export type SessionStory = {
  session: string
  call: number | undefined
  openedUs: number
  closedUs: number | undefined
  /** The caller's first probe frame: audio flows from the carrier to this session. */
  heardUs: number | undefined
  /** Function calls the model asked for, with the tool's name and the model's own id. */
  asked: { atUs: number; name: string; callId: string; step: number | undefined }[]
}

export type ModelStory = {
  sessions: Map<string, SessionStory>
  refused: { atUs: number; status: number; code: string }[]
}

/** The sessions of the model's logs. */
export function readSessions(lines: readonly WitnessLine[]): ModelStory {
  const sessions = new Map<string, SessionStory>()
  const refused: ModelStory['refused'] = []
  for (const line of lines) {
    if (line.event === 'session_refused') {
      refused.push({ atUs: line.t, status: Number(line.status), code: String(line.code) })
    }
    if (line.session === undefined) continue
    if (line.event === 'session_opened') {
      const { session, t } = line
      sessions.set(session, {
        session,
        call: undefined,
        openedUs: t,
        closedUs: undefined,
        heardUs: undefined,
        asked: [],
      })
    }
    const story = sessions.get(line.session)
    if (story !== undefined) take(story, line)
  }
  return { sessions, refused }
}

function take(story: SessionStory, line: WitnessLine): void {
  story.call ??= line.call
  if (line.event === 'probe') story.heardUs ??= line.t
  if (line.event === 'session_closed') story.closedUs = line.t
  if (line.event !== 'function_call') return
  const step = /"step":(\d+)/.exec(String(line.arguments))?.[1]
  const { t: atUs, name, call_id: callId } = line
  story.asked.push({
    atUs,
    name: String(name),
    callId: String(callId),
    step: step === undefined ? undefined : Number(step),
  })
}

/** A stretch during which `live` sessions were open. */
type LiveSpan = { fromUs: number; live: number }

/** [SE1] Every change of the number of live sessions, ascending; of one instant, ends count before beginnings. */
export function liveSpans(sessions: Iterable<SessionStory>): LiveSpan[] {
  const changes: { atUs: number; by: number }[] = []
  for (const { openedUs, closedUs } of sessions) {
    changes.push({ atUs: openedUs, by: 1 })
    if (closedUs !== undefined) changes.push({ atUs: closedUs, by: -1 })
  }
  changes.sort((a, b) => a.atUs - b.atUs || a.by - b.by)
  let live = 0
  return changes.map(({ atUs, by }) => {
    live += by
    return { fromUs: atUs, live }
  })
}

/** The most sessions opened within any stretch of `windowMs`. */
export function opensMaxWithin(sessions: Iterable<SessionStory>, windowMs: number): number {
  const times = [...sessions].map(({ openedUs }) => openedUs).sort((a, b) => a - b)
  let most = 0
  let from = 0
  for (let to = 0; to < times.length; to++) {
    while (times[to]! - times[from]! >= windowMs * 1_000) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}
