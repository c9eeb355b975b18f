// The root of a TwiML document, noted in the call's record.
import { type Element, parseXml } from '../twiml/xml.ts'
import type { Call } from './call.ts'

const TWIML_NOTED_CHARS = 4000

/** The root of a TwiML document, or undefined with a warning. */
export function parseTwiml(call: Call, xml: string): Element | undefined {
  const parsed = parseXml(xml)
  if (parsed.kind === 'document' && parsed.root.name === 'Response') {
    call.record.note('twiml', { xml: xml.slice(0, TWIML_NOTED_CHARS) })
    return parsed.root
  }
  call.record.warn(12100, parsed.kind === 'invalid' ? `TwiML at ${parsed.at}: ${parsed.text}` : 'root is not Response')
  return undefined
}
