// The job `record`: what was said, how long it took and what it cost, from the call's last checkpoint. Rules:
// JR1: every call gets exactly one record, also one whose checkpoint cannot be read: its transcript is empty then.
// JR2: a transcript has at most LINES_MAX lines and TRANSCRIPT_MAX_CHARS characters; the middle is left out beyond that, and a line says so.
// JR3: without prices there is no cost, rather than a cost of nothing.
import { amountsOf, type Tariff } from '../../call/tariff.ts'
import { clip } from '../../kit/text.ts'
import type { Job } from '../job.ts'
import type { CallCost, TranscriptLine } from '../ports.ts'
import type { CallMaterial, FindMaterial, Said, TokenUsage } from './material.ts'

export const LINES_MAX = 2_000
export const TRANSCRIPT_MAX_CHARS = 200_000
const LINE_MAX_CHARS = 8_000

/** Makes the job; `prices` undefined: nothing is priced. */
export function makeRecordJob(parts: { find: FindMaterial; prices: Tariff | undefined }): Job {
  return {
    type: 'record',
    async run(item) {
      const material = await parts.find(item.callSid)
      if (material === undefined) return { kind: 'skipped', reason: 'the call is gone' }
      const durationMs = Math.max(0, material.endedAtMs - material.startedAtMs)
      return {
        kind: 'record',
        durationMs,
        turns: material.turns,
        figures: material.figures,
        transcript: linesOf(material),
        cost: parts.prices === undefined ? undefined : costOf(material.usage, durationMs, parts.prices),
      }
    },
  }
}

/** [JR2] */
export function linesOf({ said }: Pick<CallMaterial, 'said'>): TranscriptLine[] {
  const lines = said.map(lineOf).filter(({ text }) => text !== '')
  const kept: { head: TranscriptLine[]; tail: TranscriptLine[] } = { head: [], tail: [] }
  let chars = 0
  for (let first = 0, last = lines.length - 1; first <= last; ) {
    const isHead = kept.head.length <= kept.tail.length
    const line = lines[isHead ? first : last]!
    if (chars + line.text.length > TRANSCRIPT_MAX_CHARS || kept.head.length + kept.tail.length >= LINES_MAX) {
      const left: TranscriptLine = { who: 'tool', text: `[${last - first + 1} lines are left out here]` }
      return [...kept.head, left, ...kept.tail.reverse()]
    }
    chars += line.text.length
    if (isHead) {
      kept.head.push(line)
      first += 1
    } else {
      kept.tail.push(line)
      last -= 1
    }
  }
  return [...kept.head, ...kept.tail.reverse()]
}

function lineOf(said: Said): TranscriptLine {
  if (said.who !== 'tool') return { who: said.who, text: clip(said.text, LINE_MAX_CHARS) }
  const text = `${said.name}(${said.argumentsText}) → ${said.output ?? 'no answer'}`
  return { who: 'tool', text: clip(text, LINE_MAX_CHARS) }
}

/** What a call cost (TF1, TF2). */
export function costOf(usage: TokenUsage | undefined, durationMs: number, prices: Tariff): CallCost {
  const { inputTokens = 0, outputTokens = 0 } = usage ?? {}
  const { currency } = prices
  return { currency, ...amountsOf(usage, durationMs, prices), inputTokens, outputTokens }
}
