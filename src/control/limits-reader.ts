// Plain checks of a JSON value, for limits.ts: every wrong part is reported, and reading goes on with its fallback. Rules:
// LR1: a wrong value is reported once and stands in no problem longer than SHOWN_MAX characters.
// LR2: a name is lower-case letters, digits, `.`, `_`, `-`, at most 63, since it becomes part of a key of the store.
// LR3: a text that may hold a secret by mistake stands in no problem.

const SHOWN_MAX = 60
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/

export type Problems = (path: string, problem: string, fix: string) => void
/** An object of the file with where it stands. */
export type Found = { path: string; fields: Record<string, unknown> }

/** The object at `path` with no other names than `names`. */
export function objectAt(value: unknown, path: string, names: readonly string[], add: Problems): Found | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    add(path, `cannot be ${shown(value)}`, `write an object with ${names.join(', ')}`)
    return undefined
  }
  const fields = value as Record<string, unknown>
  for (const name of Object.keys(fields)) {
    if (!names.includes(name)) add(join(path, name), 'is not known', `use one of ${names.join(', ')}`)
  }
  return { path, fields }
}

/** The entries of the list `name`, each with its path; absent means none. */
export function listAt(found: Found, name: string, max: number, add: Problems): [unknown, string][] {
  const value = found.fields[name]
  const path = join(found.path, name)
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    add(path, `cannot be ${shown(value)}`, 'write a list')
    return []
  }
  if (value.length > max) add(path, `has ${value.length} entries`, `keep it to ${max}`)
  return value.slice(0, max).map((entry, index) => [entry, `${path}[${index}]`])
}

/** The number `name`; absent means `fallback`, and a problem without one. */
export function amountAt(
  found: Found,
  name: string,
  bounds: { min: number; max: number; fallback: number | undefined; isFraction?: boolean },
  add: Problems,
): number {
  const { min, max, fallback, isFraction = false } = bounds
  const value = found.fields[name]
  if (value === undefined && fallback !== undefined) return fallback
  const isRight = typeof value === 'number' && value >= min && value <= max && (isFraction || Number.isInteger(value))
  if (isRight) return value
  const what = `${isFraction ? 'a number' : 'a whole number'} from ${min} to ${max}`
  add(join(found.path, name), value === undefined ? 'is missing' : `cannot be ${shown(value)}`, `write ${what}`)
  return fallback ?? min
}

/** The name `name`, which must not be among `taken`; it is added to them. */
export function nameAt(found: Found, name: string, taken: Set<string>, add: Problems): string {
  const value = found.fields[name]
  const path = join(found.path, name)
  if (typeof value !== 'string' || !NAME.test(value)) {
    const fix = 'write up to 63 lower-case letters, digits, ".", "_" and "-", with a letter or digit first'
    add(path, value === undefined ? 'is missing' : `cannot be ${shown(value)}`, fix)
    return ''
  }
  if (taken.has(value)) add(path, `${shown(value)} is named twice`, 'give it another name or join the two entries')
  taken.add(value)
  return value
}

/** The text `name` if it has the form; absent means undefined, and a problem when it `isNeeded`. `isHidden`: a wrong one is not shown (LR3). */
export function textAt(
  found: Found,
  name: string,
  form: { isRight: (text: string) => boolean; words: string; isNeeded: boolean; isHidden?: boolean },
  add: Problems,
): string | undefined {
  const value = found.fields[name]
  if (value === undefined && !form.isNeeded) return undefined
  if (typeof value === 'string' && form.isRight(value)) return value
  const wrong = form.isHidden === true ? 'does not have the right form' : `cannot be ${shown(value)}`
  add(join(found.path, name), value === undefined ? 'is missing' : wrong, `write ${form.words}`)
  return undefined
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

/** A value as text for a problem. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX - 1)}…`
}
