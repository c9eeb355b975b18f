// Checks of JSON values that answer as the API does: the first problem, with its code and the path as `param`.

/** What the API says is wrong with a client event. */
export type Problem = { type?: string; code: string | null; message: string; param: string | null }

/** Looks at a value at `path`; a Problem, or undefined when it is fine. */
export type Check = (value: unknown, path: string) => Problem | undefined

type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function invalidValue(path: string, message: string): Problem {
  return { code: 'invalid_value', message, param: path }
}

export function missing(path: string): Problem {
  return { code: 'missing_required_parameter', message: `Missing required parameter: '${path}'.`, param: path }
}

export function invalidType(path: string, expected: string, value: unknown): Problem {
  const message = `Invalid type for '${path}': expected ${expected}, but got ${nameOf(value)} instead.`
  return { code: 'invalid_type', message, param: path }
}

export const anything: Check = () => undefined

export const text: Check = (value, path) =>
  typeof value === 'string' ? undefined : invalidType(path, 'a string', value)

export const flag: Check = (value, path) =>
  typeof value === 'boolean' ? undefined : invalidType(path, 'a boolean', value)

export const nullable =
  (inner: Check): Check =>
  (value, path) =>
    value === null ? undefined : inner(value, path)

/** Passes when one of the checks passes; answers the last one's problem. */
export const either =
  (...checks: Check[]): Check =>
  (value, path) => {
    let problem: Problem | undefined
    for (const check of checks) {
      problem = check(value, path)
      if (problem === undefined) return undefined
    }
    return problem
  }

export const oneOf =
  (...allowed: readonly string[]): Check =>
  (value, path) => {
    if (typeof value === 'string' && allowed.includes(value)) return undefined
    const names = listed(allowed.map((name) => `'${name}'`))
    const supported = allowed.length > 1 ? `Supported values are: ${names}.` : `Value must be ${names}.`
    return invalidValue(path, `Invalid value: ${JSON.stringify(value)?.replaceAll('"', "'")}. ${supported}`)
  }

function listed(names: readonly string[]): string {
  return names.length < 3 ? names.join(' and ') : `${names.slice(0, -1).join(', ')}, and ${names.at(-1)}`
}

export const numberIn =
  (low: number, high: number): Check =>
  (value, path) => {
    if (typeof value !== 'number') return invalidType(path, 'a number', value)
    const below = value < low ? `>= ${low}` : value > high ? `<= ${high}` : undefined
    return below === undefined ? undefined : invalidValue(path, `Invalid '${path}': expected a value ${below}.`)
  }

export const integerIn =
  (low: number, high: number): Check =>
  (value, path) =>
    Number.isInteger(value) ? numberIn(low, high)(value, path) : invalidType(path, 'an integer', value)

export const listOf =
  (inner: Check, max: number): Check =>
  (value, path) => {
    if (!Array.isArray(value)) return invalidType(path, 'an array', value)
    if (value.length > max) return invalidValue(path, `Invalid '${path}': array too long, at most ${max}.`)
    for (const [i, entry] of value.entries()) {
      const problem = inner(entry, `${path}[${i}]`)
      if (problem !== undefined) return problem
    }
    return undefined
  }

/** An object with known keys only; those of `required` must be there. Undefined values count as absent. */
export const shape =
  (keys: Record<string, Check>, required: readonly string[] = []): Check =>
  (value, path) => {
    if (!isObject(value)) return invalidType(path, 'an object', value)
    for (const name of required) if (value[name] === undefined) return missing(join(path, name))
    for (const [name, entry] of Object.entries(value)) {
      const check = keys[name]
      const at = join(path, name)
      if (check === undefined) return { code: 'unknown_parameter', message: `Unknown parameter: '${at}'.`, param: at }
      const problem = check(entry, at)
      if (problem !== undefined) return problem
    }
    return undefined
  }

/** Chooses the check by the object's `type`. */
export const byType =
  (kinds: Record<string, Check>): Check =>
  (value, path) => {
    if (!isObject(value)) return invalidType(path, 'an object', value)
    if (value.type === undefined) return missing(join(path, 'type'))
    return oneOf(...Object.keys(kinds))(value.type, join(path, 'type')) ?? kinds[String(value.type)]?.(value, path)
  }

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function nameOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal number'
  return value === undefined ? 'nothing' : typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
