// One call as the carrier saw it: its streams, what the caller heard, how it ended. Rules:
// CS1: a stream's pod is the one its URL names; the pod that answered may be another (a proxy may redispatch).
// CS2: a call that has no end in the log has none here: it is not guessed.
import type { WitnessLine } from '../../load/report/witness.ts'

type Interval = { fromUs: number; toUs: number }

export type StreamStory = {
  number: number
  pod: string
  openedUs: number
  closedUs: number | undefined
  /** Who ended it: plane, carrier, script. */
  by: string | undefined
  closeCode: number | undefined
  /** The first audible frame of the agent that the caller heard on it. */
  heardUs: number | undefined
  heard: Interval[]
}

export type CallStory = {
  call: number
  callSid: string
  /** The called number. */
  to: string
  placedUs: number
  /** When the first webhook had been answered. */
  answeredUs: number | undefined
  streams: StreamStory[]
  refusedUs: number[]
  actionsUs: number[]
  /** When the caller began to speak. */
  turnsUs: number[]
  /** When the caller had spoken. */
  pausesUs: number[]
  /** Answers of 5xx to webhooks, each attempt. */
  webhook5xx: number[]
  /** Bytes of the plane that had been read when the carrier stopped to read, began again, and had caught up. */
  reading: { atUs: number; what: 'stopped' | 'again' | 'caught-up'; bytes: number }[]
  /** What the carrier complained of, by its codes. */
  warnings: number[]
  /** Each end the log has; one is right. */
  ends: { atUs: number; cause: string; status: string }[]
  /** Whether the carrier tells by callback that it is over. */
  isTold: boolean
  /** Deliveries of the last status callback: its outcome each. */
  finalCallbacks: string[]
  /** Attempts of it that came to nothing, and at which hop. */
  finalLosses: string[]
  /** Verbs of all documents, with what matters of them. */
  verbs: { atUs: number; verb: string; detail: string }[]
}

const READING = { 'reading-stopped': 'stopped', 'reading-again': 'again', 'reading-caught-up': 'caught-up' } as const

/** [CS1] The pod named by `wss://host/media/<pod>/…`; empty when it names none. */
function podOf(url: string): string {
  return /\/media\/([^/]+)\//.exec(url)?.[1] ?? ''
}

/** The calls of the carriers' logs, by call number. */
export function readCalls(lines: readonly WitnessLine[]): Map<number, CallStory> {
  const calls = new Map<number, CallStory>()
  for (const line of lines) {
    if (line.call === undefined) continue
    const known = calls.get(line.call)
    if (known !== undefined) take(known, line)
    else if (line.event === 'call-placed') calls.set(line.call, newStory(line, line.call))
  }
  return calls
}

function newStory(line: WitnessLine, call: number): CallStory {
  return {
    call,
    callSid: String(line.callSid),
    to: String(line.to ?? ''),
    isTold: line.isTelling !== false,
    placedUs: line.t,
    answeredUs: undefined,
    streams: [],
    refusedUs: [],
    actionsUs: [],
    turnsUs: [],
    pausesUs: [],
    webhook5xx: [],
    reading: [],
    warnings: [],
    ends: [],
    finalCallbacks: [],
    finalLosses: [],
    verbs: [],
  }
}

function take(story: CallStory, line: WitnessLine): void {
  switch (line.event) {
    case 'stream-opened':
      story.streams.push(newStream(line))
      return
    case 'stream-closed':
      closeStream(story, line)
      return
    case 'stream-heard': {
      const stream = streamOf(story, line)
      if (stream !== undefined) stream.heardUs ??= Number(line.atUs)
      return
    }
    case 'agent-heard':
      streamOf(story, line)?.heard.push({ fromUs: Number(line.fromUs), toUs: Number(line.toUs) })
      return
    case 'stream-refused':
      story.refusedUs.push(line.t)
      return
    case 'action-requested':
      story.actionsUs.push(line.t)
      return
    case 'caller-speech':
      story.turnsUs.push(line.t)
      return
    case 'webhook-attempt':
      story.answeredUs ??= line.t
      if (Number(line.status) >= 500) story.webhook5xx.push(line.t)
      return
    case 'reading-stopped':
    case 'reading-again':
    case 'reading-caught-up':
      story.reading.push({ atUs: line.t, what: READING[line.event], bytes: Number(line.bytes) })
      return
    case 'warning':
      story.warnings.push(Number(line.code))
      return
    case 'caller-silent':
      story.pausesUs.push(line.t)
      return
    case 'verb':
      story.verbs.push({ atUs: line.t, verb: String(line.verb), detail: String(line.detail) })
      return
    case 'call-ended':
      story.ends.push({ atUs: line.t, cause: String(line.cause), status: String(line.status) })
      return
    case 'callback':
      if (line.what === 'status completed') story.finalCallbacks.push(String(line.outcome))
      return
    case 'callback-attempt':
      if (line.what === 'status completed') story.finalLosses.push(lossOf(line))
  }
}

/** Who lost an attempt: an answer in HTML is the proxy's own, one in XML is a pod's. */
function lossOf({ attempt, ms, status, contentType, error }: WitnessLine): string {
  const spent = `attempt ${String(attempt)} after ${Math.round(Number(ms))} ms`
  if (status === undefined) {
    const hop = String(error).startsWith('ct') ? 'on the way to the proxy' : 'at the proxy, without an answer'
    return `${spent} ${hop} (${String(error)})`
  }
  const hop = String(contentType).includes('html') ? 'the proxy' : 'a pod'
  return `${spent} by ${hop} with ${String(status)}`
}

function newStream(line: WitnessLine): StreamStory {
  return {
    number: Number(line.stream),
    pod: podOf(String(line.url)),
    openedUs: line.t,
    closedUs: undefined,
    by: undefined,
    closeCode: undefined,
    heardUs: undefined,
    heard: [],
  }
}

function streamOf(story: CallStory, line: WitnessLine): StreamStory | undefined {
  return story.streams.find((stream) => stream.number === line.stream)
}

function closeStream(story: CallStory, line: WitnessLine): void {
  const stream = streamOf(story, line)
  if (stream === undefined) return
  stream.closedUs = line.t
  stream.by = String(line.by)
  stream.closeCode = typeof line.closeCode === 'number' ? line.closeCode : undefined
}
