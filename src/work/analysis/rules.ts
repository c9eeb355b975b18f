// The analyser without a model. Rules:
// ARU1: it calls itself `rules` in the record, and makes no claim it cannot count: in another language than English mood and
//      satisfaction stay in the middle.

import { clip } from '../../kit/text.ts'
import type { CallMaterial, Said } from '../jobs/material.ts'
import type { Analysis } from '../ports.ts'

const GOOD = /\b(thanks?|thank you|great|perfect|wonderful|excellent|lovely|appreciate|helpful|good|nice)\b/gi
const BAD =
  /\b(angry|terrible|awful|bad|wrong|problem|complain\w*|useless|ridiculous|frustrat\w*|disappoint\w*|unacceptable|horrible|cancel)\b/gi
const INTEREST = /\b(book|buy|order|price|cost|quote|interested|sign up|appointment|schedule|reserve|available)\b/gi
const PERSON = /\b(human|real person|operator|manager|supervisor|representative|speak to someone)\b/i
const ENGLISH = /\b(the|is|are|and|you|to|my|have|what|please|yes|no)\b/gi
const QUOTE_MAX_CHARS = 160

/** Looks at what was said, without understanding it. */
export function analyseByRules(material: Pick<CallMaterial, 'said' | 'cause' | 'isTransferred' | 'turns'>): Analysis {
  const { said, isTransferred } = material
  const caller = said.flatMap((one) => (one.who === 'caller' && one.text !== '' ? [one.text] : []))
  const text = caller.join(' ')
  const isEnglish = count(text, ENGLISH) > 0
  const [good, bad] = isEnglish ? [count(text, GOOD), count(text, BAD)] : [0, 0]
  const sentiment = good + bad === 0 ? 0 : (good - bad) / (good + bad)
  const tools = [...new Set(said.flatMap((one) => (one.who === 'tool' ? [one.name] : [])))]
  const asksForPerson = isEnglish && PERSON.test(text)
  return {
    analyser: 'rules',
    summary: summaryOf(caller, said, tools, material.turns),
    intent: tools[0] ?? (isEnglish && count(text, INTEREST) > 0 ? 'enquiry' : 'unknown'),
    sentiment: Math.round(sentiment * 100) / 100,
    leadScore: isEnglish
      ? Math.min(100, 20 * count(text, INTEREST) + 10 * tools.length)
      : Math.min(100, 10 * tools.length),
    satisfaction: Math.max(1, Math.min(5, Math.round(3 + 2 * sentiment - (asksForPerson ? 1 : 0)))),
    isEscalated: isTransferred || asksForPerson,
    disposition: dispositionOf(material, caller.length, tools.length),
  }
}

function dispositionOf({ isTransferred }: Pick<CallMaterial, 'isTransferred'>, words: number, tools: number): string {
  if (isTransferred) return 'transferred'
  if (words === 0) return 'no-speech'
  return tools > 0 ? 'served' : 'talked'
}

function summaryOf(caller: readonly string[], said: readonly Said[], tools: readonly string[], turns: number): string {
  const agent = said.filter(({ who }) => who === 'agent').length
  const first = caller[0]
  const parts = [
    `${turns} turns of the caller, ${agent} of the agent.`,
    first === undefined
      ? 'The caller said nothing that was written down.'
      : `It began with: “${clip(first, QUOTE_MAX_CHARS)}”.`,
    tools.length === 0 ? 'No tool was used.' : `Tools used: ${tools.join(', ')}.`,
  ]
  return parts.join(' ')
}

const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0
