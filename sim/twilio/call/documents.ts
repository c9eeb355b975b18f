// A call's TwiML documents, one after the other: fetched, parsed, run.
// A2: a document that cannot be fetched or run goes to the fallback URL once, with ErrorCode and ErrorUrl; then the call fails.
// A4: DOCUMENTS_MAX bounds the documents of one call, so a redirect loop ends.

import type { WebhookAnswer } from '../http/webhook.ts'
import type { EndCause } from '../report.ts'
import type { Element } from '../twiml/xml.ts'
import type { Call, Next, TwimlSource } from './call.ts'
import { parseTwiml } from './twiml-root.ts'
import { runVerbs } from './verbs.ts'

const DOCUMENTS_MAX = 500

type Progress = { call: Call; hasUsedFallback: boolean; documents: number }

/** Runs the call's documents until one of them ends it; why it ended. */
export async function runDocuments(call: Call): Promise<EndCause> {
  const progress: Progress = { call, hasUsedFallback: false, documents: 0 }
  let source = call.plan.source
  while (progress.documents < DOCUMENTS_MAX) {
    const next = await runDocument(progress, source)
    progress.documents++
    const interruption = call.takeInterruption()
    if (interruption?.kind === 'hang-up') return interruption.cause
    if (interruption?.kind === 'redirect') source = interruption.source
    else if (next.kind === 'end') return next.cause
    else source = next.source
  }
  call.record.warn(11215, 'too many documents')
  return 'webhook-failed'
}

async function runDocument(progress: Progress, source: TwimlSource): Promise<Next> {
  const { call } = progress
  if (source.kind === 'text') return runXml(progress, source.xml)
  const request = call.fetchTwiml(source.url, source.method, source.params)
  const isDuplicated = progress.documents === 0 && call.faults.duplicateWebhook === true
  const answer = await call.unlessInterrupted(isDuplicated ? twice(call, request, source) : request)
  if (answer === 'interrupted') return { kind: 'end', cause: 'caller-hung-up' }
  if (answer.kind === 'failed') {
    call.record.warn(answer.errorCode, answer.text)
    return fallBack(progress, answer.errorCode, answer.url)
  }
  call.documentUrl = answer.url
  if (answer.contentType.startsWith('audio/')) return runElement(call, responseWith('Play', answer.url))
  if (answer.contentType.startsWith('text/plain')) return runElement(call, responseWith('Say', answer.body))
  return runXml(progress, answer.body)
}

async function twice(
  call: Call,
  first: Promise<WebhookAnswer>,
  source: Extract<TwimlSource, { kind: 'url' }>,
): Promise<WebhookAnswer> {
  const second = call.fetchTwiml(source.url, source.method, source.params)
  const answers = await Promise.all([first, second])
  call.record.duplicateAnswers = answers.map((answer) => (answer.kind === 'answered' ? answer.body : answer.text))
  return answers.find((answer) => answer.kind === 'answered') ?? answers[0]
}

async function runXml(progress: Progress, xml: string): Promise<Next> {
  const { call } = progress
  const root = parseTwiml(call, xml)
  return root === undefined ? fallBack(progress, 12100, call.documentUrl) : runElement(call, root)
}

function runElement(call: Call, root: Element): Promise<Next> {
  call.record.documents++
  if (root.children[0]?.name !== 'Reject') call.answer()
  return runVerbs(call, root)
}

function fallBack(progress: Progress, errorCode: number, errorUrl: string): Next {
  const url = progress.call.plan.fallbackUrl
  if (url === undefined || progress.hasUsedFallback) return { kind: 'end', cause: 'webhook-failed' }
  progress.hasUsedFallback = true
  const params = { ErrorCode: String(errorCode), ErrorUrl: errorUrl }
  return { kind: 'goto', source: { kind: 'url', url, method: 'POST', params } }
}

function responseWith(verb: string, text: string): Element {
  const child: Element = { name: verb, attributes: {}, children: [], text }
  return { name: 'Response', attributes: {}, children: [child], text: '' }
}
