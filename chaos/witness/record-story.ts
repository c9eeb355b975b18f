// What the database says of the calls: the ground on which everybody writes, so that what it accepted is in it. Rules:
// RS1: the epochs of a call's events never fall: an event of a lower epoch after a higher one is a zombie's write that was accepted.
// RS2: a call has one record, ended at the end of a run, and one event of its end.
import type { WitnessLine } from '../../load/report/witness.ts'
import type { Breach } from './pod-story.ts'

export type RecordStory = {
  calls: number
  ended: number
  events: number
  /** Calls that were claimed by another pod. */
  resumed: number
  breaches: Breach[]
}

type Known = { epoch: number; ends: number }

/** [RS1][RS2] Reads the dump; lines of a call in the order of its events. */
export function readRecords(lines: readonly WitnessLine[]): RecordStory {
  const story: RecordStory = { calls: 0, ended: 0, events: 0, resumed: 0, breaches: [] }
  const calls = new Map<string, Known>()
  for (const line of lines) {
    const sid = String(line.call_sid)
    if (line.event === 'record') {
      story.calls++
      if (Number(line.resumes) > 0) story.resumed++
      if (line.state === 'ended') story.ended++
      else story.breaches.push({ check: 'one end', text: `${sid} is still ${String(line.state)} in the records` })
      continue
    }
    story.events++
    takeEvent(story, calls, sid, line)
  }
  return story
}

function takeEvent(story: RecordStory, calls: Map<string, Known>, sid: string, line: WitnessLine): void {
  const epoch = Number(line.epoch)
  const known = calls.get(sid) ?? { epoch, ends: 0 }
  calls.set(sid, known)
  if (epoch < known.epoch) {
    const text = `${sid}: ${String(line.type)} of epoch ${epoch} after epoch ${known.epoch} in the records`
    story.breaches.push({ check: 'one acting epoch', text })
  }
  known.epoch = Math.max(known.epoch, epoch)
  if (line.type === 'ended' && ++known.ends === 2) {
    story.breaches.push({ check: 'one end', text: `${sid} has two ends in the records` })
  }
}
