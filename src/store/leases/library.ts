// The Redis function library of the leases, as one text. Rules:
// LF1: its functions bear its version in their names; another version is another library and may stand beside it.
// LF2: a change of what is stored, or of an answer, is a new version.
// LF3: the bounds come from bounds.ts, so that the two stores cannot differ in them.
import { readdirSync, readFileSync } from 'node:fs'
import { LEASE_BOUNDS } from './bounds.ts'

/** The version of the library; its functions are `vp5_…`. */
export const LIBRARY = 'vp5'

/** The text for FUNCTION LOAD. */
export function readLibrary(): string {
  const folder = new URL('./lua/', import.meta.url)
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.lua'))
    .sort()
  const bounds = Object.entries(LEASE_BOUNDS).map(([name, value]) => `${name} = ${value}`)
  const parts = names.map((name) => readFileSync(new URL(name, folder), 'utf8'))
  return [`#!lua name=${LIBRARY}`, `local BOUNDS = { ${bounds.join(', ')} }`, ...parts].join('\n')
}
