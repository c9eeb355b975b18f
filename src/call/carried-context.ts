// The context that tools share with their agent, on its way to another pod. Rules:
// CX1: a value that is JSON throughout goes over as it is. Of an object with other things in it go the parts that are JSON; a list
//      with other things in it stays behind. What stays behind is what the pack makes anew in the next pod.
// CX2: a key that the call has removed stays removed.
// CX3: a context of more than CONTEXT_MAX_CHARS stays behind whole, and that is said.
// CX4: nothing is written into what the pack made: it may be one object for many calls.
import { type CarriedContext, NO_CONTEXT } from './agent-state.ts'

export const CONTEXT_MAX_CHARS = 65_536
const DEPTH_MAX = 32
/** Made anew in each pod: the call itself, and the history, which has its own place in the checkpoint. */
const NOT_THE_PACKS = new Set(['call', 'history'])

type Fields = Record<string, unknown>

/** What of `now` can be carried; `made` is what the pack had made. `too-large` beyond CONTEXT_MAX_CHARS (CX3). */
export function carryContext(now: object, made: object | undefined): CarriedContext | 'too-large' {
  const fields = Object.fromEntries(Object.entries(now).filter(([key]) => !NOT_THE_PACKS.has(key)))
  const removed = Object.keys(made ?? {}).filter((key) => !NOT_THE_PACKS.has(key) && !Object.hasOwn(now, key))
  const carried = { ...carryFields(fields, 0), removed }
  if (Object.keys(fields).length === 0 && removed.length === 0) return NO_CONTEXT
  return JSON.stringify(carried).length > CONTEXT_MAX_CHARS ? 'too-large' : carried
}

/** The context to go on with: what the pack made in this pod, with what was carried put in. */
export function restoreContext(made: object | undefined, carried: CarriedContext): object | undefined {
  if (Object.keys(carried.values).length + Object.keys(carried.parts).length + carried.removed.length === 0) return made
  return restoreFields((made ?? {}) as Fields, carried)
}

function carryFields(fields: Fields, depth: number): CarriedContext {
  const values: Fields = {}
  const parts: Record<string, CarriedContext> = {}
  for (const [key, value] of Object.entries(fields)) {
    if (key === '__proto__') continue
    if (isJson(value, depth)) values[key] = value
    else if (isPlain(value) && depth < DEPTH_MAX) parts[key] = carryFields(value, depth + 1)
  }
  return { values, parts, removed: [] }
}

function restoreFields(made: Fields, { values, parts, removed }: CarriedContext): Fields {
  const kept = Object.entries(made).filter(([key]) => !removed.includes(key))
  const restored: Fields = Object.fromEntries([...kept, ...Object.entries(values)])
  for (const [key, part] of Object.entries(parts)) {
    const before = made[key]
    restored[key] = restoreFields(isPlain(before) ? before : {}, part)
  }
  return restored
}

function isJson(value: unknown, depth: number): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (depth > DEPTH_MAX) return false
  if (Array.isArray(value)) return value.every((entry) => isJson(entry, depth + 1))
  return isPlain(value) && Object.values(value).every((entry) => isJson(entry, depth + 1))
}

function isPlain(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
