// TRANSFER_ALLOW as text: who may be transferred to, one entry after the other.
import { getCountries, isSupportedCountry } from 'libphonenumber-js/max'
import type { TransferRule } from './transfer-policy.ts'

const COUNTRIES: ReadonlySet<string> = new Set(getCountries())
const HOST_TEXT = '[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?'
const ENTRY = String.raw`\s*(?:\*|sip:${HOST_TEXT}|client:[\w.@+-]{1,120}|\+[1-9]\d{0,13}|${getCountries().join('|')})\s*`
/** The form of the text. */
export const TRANSFER_RULE: RegExp = new RegExp(`^(?:none|${ENTRY}(?:,${ENTRY})*)$`)

const PREFIX = /^\+[1-9]\d{0,13}$/
const HOST = new RegExp(`^${HOST_TEXT}$`)
const CLIENT = /^[\w.@+-]{1,120}$/

/** Reads `DE,AT,+4420,sip:pbx.example.com,client:desk`, `*` (every country) or `none`; undefined: not of that form. */
export function readTransferRule(text: string): TransferRule | undefined {
  const rule = { isAnyCountry: false, countries: [], prefixes: [], hosts: [], clients: [] } as {
    isAnyCountry: boolean
    countries: string[]
    prefixes: string[]
    hosts: string[]
    clients: string[]
  }
  if (text === 'none') return rule
  for (const part of text.split(',').map((one) => one.trim())) {
    const [, kind, name = ''] = /^(sip|client):(.*)$/.exec(part) ?? []
    if (part === '*') rule.isAnyCountry = true
    else if (kind === 'sip' && HOST.test(name)) rule.hosts.push(name.toLowerCase())
    else if (kind === 'client' && CLIENT.test(name)) rule.clients.push(name)
    else if (PREFIX.test(part)) rule.prefixes.push(part)
    else if (COUNTRIES.has(part) && isSupportedCountry(part)) rule.countries.push(part)
    else return undefined
  }
  return rule
}
