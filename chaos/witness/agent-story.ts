// Whether a call's agent went on as it was, by what the model simulator received. Rules:
// AY1: of two sessions of one call, the later begins with the instructions, tools and voice that were in force in the earlier; or it has
//      them within CATCH_UP_US (a handoff whose tool runs again); or the earlier had got them within BOUND_US of its end, which is
//      the time a checkpoint takes.
// AY5: a handoff that the earlier asked for and never had the answer of may have been made: then the later begins with the agent that it names.
// AY2: the later is told every message and tool call of the earlier that is older than BOUND_US, and none that was taken out there. Left
//      out are items that were cut, of which nothing may have been heard, and the plane's own note of why the line was silent.
// AY4: code may edit the history while no session is open. Its mark is a message of the system that the later is told before it speaks and
//      the earlier never had. Then the oldest messages may be missing, while the newest stay: as many as the agents of the run keep
//      (chaos/agents/desks.ts), less EDIT_SLACK that were under way. Tools are never missing.
// AY3: a tool belongs to the agent whose instructions were in force in the session that asked for it.
import type { WitnessLine } from '../../load/report/witness.ts'

const BOUND_US = 1_500_000
const CATCH_UP_US = 8_000_000
const NOTE_ID = 'vp_note'
const EDIT_KEEPS = 12
const EDIT_SLACK = 2

type Config = { atUs: number; text: string; instructions: string }
type Item = { atUs: number; id: string; kind: string; role: string; isIn: boolean; by: string }
type Session = {
  session: string
  call: number | undefined
  openedUs: number
  closedUs: number
  heardUs: number | undefined
  spokeUs: number
  configs: Config[]
  items: Item[]
  cut: Set<string>
  asked: { atUs: number; step: number }[]
  /** Handoffs that were asked for and have no answer: the agent that each names. */
  handoffs: Map<string, string>
}

type AgentStory = {
  /** Pairs of sessions of one call. */
  pairs: number
  /** [AY1] How the later began. */
  atOnce: number
  caughtUp: number
  withinBound: number
  /** [AY5] */
  ahead: number
  /** Pairs after the agent in charge was another than the first. */
  afterHandoff: number
  /** Tools whose owner was judged. */
  owners: number
  breaches: string[]
}

/** Judges all calls of a run; `sidOf`: the Call SID of a call's number. */
export function readAgents(
  model: readonly WitnessLine[],
  sink: readonly WitnessLine[],
  sidOf: (call: number) => string | undefined,
): AgentStory {
  const sessions = sessionsIn(model)
  const story: AgentStory = {
    pairs: 0,
    atOnce: 0,
    caughtUp: 0,
    withinBound: 0,
    ahead: 0,
    afterHandoff: 0,
    owners: 0,
    breaches: [],
  }
  const byCall = Map.groupBy(
    sessions.filter(({ call, configs, heardUs }) => call !== undefined && configs.length > 0 && heardUs !== undefined),
    ({ call }) => call!,
  )
  for (const [call, own] of byCall) {
    const inOrder = own.toSorted((a, b) => (a.heardUs ?? 0) - (b.heardUs ?? 0))
    for (const [i, later] of inOrder.entries()) {
      const earlier = inOrder[i - 1]
      if (earlier === undefined) continue
      story.pairs += 1
      judgeAgent(story, call, earlier, later)
      judgeHistory(story, call, earlier, later)
    }
    judgeOwners(story, own, sink, sidOf(call))
  }
  return story
}

/** [AY1] */
function judgeAgent(story: AgentStory, call: number, earlier: Session, later: Session): void {
  const untilUs = Math.min(earlier.closedUs, later.heardUs ?? earlier.closedUs)
  const before = earlier.configs.filter(({ atUs }) => atUs <= untilUs)
  const last = before.at(-1) ?? earlier.configs[0]!
  const first = later.configs[0]!
  if (last.instructions !== earlier.configs[0]!.instructions) story.afterHandoff += 1
  if (first.text === last.text) story.atOnce += 1
  else if (later.configs.some(({ text, atUs }) => text === last.text && atUs - first.atUs < CATCH_UP_US))
    story.caughtUp += 1
  else if (untilUs - last.atUs < BOUND_US && before.at(-2)?.text === first.text) story.withinBound += 1
  else if (first.instructions.startsWith(`You are ${[...earlier.handoffs.values()].at(-1)}.`)) story.ahead += 1
  else story.breaches.push(`call ${call}: ${later.session} began with ${first.text}, before it was ${last.text}`)
}

/** [AY2] */
function judgeHistory(story: AgentStory, call: number, earlier: Session, later: Session): void {
  const last = new Map(earlier.items.map((item) => [item.id, item]))
  const told = new Set(later.items.filter(({ by, isIn }) => by === 'client' && isIn).map(({ id }) => id))
  const taken = new Set(later.items.filter(({ isIn }) => !isIn).map(({ id }) => id))
  const edited = editedAway([...last.values()], told, later)
  for (const { id, kind, isIn, atUs } of last.values()) {
    const isOld = earlier.closedUs - atUs > BOUND_US
    if (!isOld || id === NOTE_ID || kind === 'function_call_output' || earlier.cut.has(id)) continue
    if (isIn && !told.has(id) && !edited.has(id))
      story.breaches.push(`call ${call}: ${later.session} was not told ${kind} ${id}`)
    if (!isIn && told.has(id) && !taken.has(id))
      story.breaches.push(`call ${call}: ${later.session} was told ${id}, which was taken out`)
  }
}

/** [AY4] The messages of the earlier that an edit between the sessions may have taken out. */
function editedAway(earlier: readonly Item[], told: ReadonlySet<string>, later: Session): ReadonlySet<string> {
  const known = new Set(earlier.map(({ id }) => id))
  const spokeUs = later.items.find(({ by }) => by === 'model')?.atUs ?? Number.MAX_SAFE_INTEGER
  const isEdited = later.items.some(
    ({ id, role, by, isIn, atUs }) =>
      isIn && by === 'client' && role === 'system' && id !== NOTE_ID && !known.has(id) && atUs < spokeUs,
  )
  if (!isEdited) return new Set()
  const messages = earlier.filter(({ kind, isIn, id }) => kind === 'message' && isIn && id !== NOTE_ID)
  const oldestKept = messages.findIndex(({ id }) => told.has(id))
  if (oldestKept < 0 || messages.length - oldestKept < EDIT_KEEPS - EDIT_SLACK) return new Set()
  return new Set(messages.slice(0, oldestKept).map(({ id }) => id))
}

/** [AY3] */
function judgeOwners(
  story: AgentStory,
  sessions: readonly Session[],
  sink: readonly WitnessLine[],
  sid: string | undefined,
): void {
  if (sid === undefined) return
  const effects = sink.filter(
    ({ event, callSid, owner }) => event === 'request' && callSid === sid && owner !== undefined,
  )
  for (const { configs, asked, session } of sessions) {
    for (const { step, atUs } of asked) {
      const inForce = configs.findLast((config) => config.atUs <= atUs)
      for (const { owner } of effects.filter((effect) => effect.step === step)) {
        story.owners += 1
        if (inForce?.instructions.includes(`You are ${String(owner)}.`)) continue
        story.breaches.push(
          `${session}: step ${step} was asked under "${inForce?.instructions}" and ran at ${String(owner)}`,
        )
      }
    }
  }
}

function sessionsIn(lines: readonly WitnessLine[]): Session[] {
  const sessions = new Map<string, Session>()
  for (const line of lines) {
    if (line.session === undefined) continue
    const { session, t: atUs } = line
    if (line.event === 'session_opened') sessions.set(session, newSession(session, atUs))
    const story = sessions.get(session)
    if (story !== undefined) take(story, line)
  }
  return [...sessions.values()]
}

function newSession(session: string, openedUs: number): Session {
  const none = { configs: [], items: [], cut: new Set<string>(), asked: [], handoffs: new Map<string, string>() }
  return {
    session,
    call: undefined,
    openedUs,
    closedUs: Number.MAX_SAFE_INTEGER,
    heardUs: undefined,
    spokeUs: 0,
    ...none,
  }
}

function take(story: Session, line: WitnessLine): void {
  const { t: atUs } = line
  story.call ??= line.call
  if (line.event === 'probe') story.heardUs ??= atUs
  else if (line.event === 'session_closed') story.closedUs = atUs
  else if (line.event === 'session_updated') {
    const { instructions, tools, voice } = line
    story.configs.push({
      atUs,
      instructions: String(instructions),
      text: JSON.stringify({ instructions, tools, voice }),
    })
  } else if (line.event === 'item_added' || line.event === 'item_removed') {
    const { item, kind, role, by } = line
    const texts = { id: String(item), kind: String(kind), role: String(role), by: String(by) }
    story.items.push({ atUs, ...texts, isIn: line.event === 'item_added' })
  } else if (line.event === 'truncate') story.cut.add(String(line.item))
  else if (line.event === 'function_call') {
    const step = /"step":(\d+)/.exec(String(line.arguments))?.[1]
    if (step !== undefined) story.asked.push({ atUs, step: Number(step) })
    const agent = /^transfer_to_(\w+)$/.exec(String(line.name))?.[1]
    if (agent !== undefined) story.handoffs.set(String(line.call_id), agent)
  } else if (line.event === 'function_output') {
    story.handoffs.delete(String(line.call_id))
  }
}
