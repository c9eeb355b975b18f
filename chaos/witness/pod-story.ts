// What the pods wrote down of their own acts: `{t, pod, call, epoch, event}`; `call` is the Call SID, event one of claimed, acts, tool,
// fenced, released, ended.
// Rules:
// PS1: one epoch acts for a call at a time: once a higher epoch was claimed, no lower one acts or has a tool's intent accepted.
// PS2: a line is stamped after the store's answer, so that a line of the old epoch may come RACE_US after the claim it lost to;
//      a pod that was stopped meanwhile may be later still: the stops are taken from the faults.
// PS3: a call is ended by one epoch, once.
import type { WitnessLine } from '../../load/report/witness.ts'
import type { Fault } from './fault-log.ts'

const RACE_US = 250_000

/** A breach of one rule, in words. */
export type Breach = { check: string; text: string }

export type PodStory = {
  lines: number
  claims: number
  tools: number
  /** Who stopped to act for which call, and when. */
  fenced: { pod: string; atUs: number }[]
  ended: number
  /** Calls that were ended. */
  endedCalls: number
  breaches: Breach[]
}

type Known = { claims: { epoch: number; atUs: number }[]; ends: number }

/** [PS1][PS3] Reads the pods' lines, ascending in time. */
export function readPods(lines: readonly WitnessLine[], faults: readonly Fault[]): PodStory {
  const story: PodStory = {
    lines: lines.length,
    claims: 0,
    tools: 0,
    fenced: [],
    ended: 0,
    endedCalls: 0,
    breaches: [],
  }
  const calls = new Map<string, Known>()
  for (const line of lines) {
    const call = String(line.call)
    const known = calls.get(call) ?? { claims: [], ends: 0 }
    calls.set(call, known)
    if (line.event === 'claimed') {
      story.claims++
      known.claims.push({ epoch: Number(line.epoch), atUs: line.t })
    } else if (line.event === 'fenced') story.fenced.push({ pod: String(line.pod), atUs: line.t })
    else if (line.event === 'acts' || line.event === 'tool') {
      if (line.event === 'tool') story.tools++
      judgeAct(story, known, line, faults)
    } else if (line.event === 'ended') {
      story.ended++
      judgeAct(story, known, line, faults)
      if (++known.ends === 1) story.endedCalls++
      if (known.ends === 2) story.breaches.push({ check: 'one end', text: `call ${call} was ended twice` })
    }
  }
  return story
}

function judgeAct(story: PodStory, known: Known, line: WitnessLine, faults: readonly Fault[]): void {
  const epoch = Number(line.epoch)
  const newer = known.claims.find((claim) => claim.epoch > epoch)
  if (newer === undefined || line.t <= newer.atUs + RACE_US + stoppedUs(line, newer.atUs, faults)) return
  const lateMs = Math.round((line.t - newer.atUs) / 1_000)
  const text = `call ${String(line.call)}: ${line.event} of epoch ${epoch} ${lateMs} ms after epoch ${newer.epoch} was claimed`
  story.breaches.push({ check: 'one acting epoch', text })
}

/** [PS2] How long the line's pod was stopped around the claim. */
function stoppedUs(line: WitnessLine, claimedUs: number, faults: readonly Fault[]): number {
  const stop = faults.findLast((fault) => fault.kind === 'stop' && fault.pod === line.pod && fault.atUs <= claimedUs)
  if (stop === undefined) return 0
  const go = faults.find((fault) => fault.kind === 'continue' && fault.pod === line.pod && fault.atUs > stop.atUs)
  return go === undefined ? 0 : Math.max(0, go.atUs - claimedUs)
}
