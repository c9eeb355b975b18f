// The smallest valid arguments for a function tool, from its JSON schema: required properties only, to DEPTH_MAX. Rules:
// MA1: what is made fits the keywords that are read here: choices, bounds, lengths, formats and plain patterns.
// MA2: where nothing fits, or a keyword is not read, there are no arguments, and the place is named. None are made up that a tool would refuse.
import { expressionOf, textOfPattern } from './text-of-pattern.ts'

const DEPTH_MAX = 5
/** How often what may be repeated in a pattern is repeated, to reach a length. */
const MORE_MAX = 64

type Schema = {
  $ref?: string
  $defs?: Record<string, Schema>
  definitions?: Record<string, Schema>
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  default?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  minItems?: number
  uniqueItems?: boolean
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  multipleOf?: number
  format?: string
  pattern?: string
}

/** Keywords that forbid what is made without a look at them. */
const UNREAD = ['not', 'if', 'contains', 'dependentRequired', 'dependentSchemas', 'prefixItems', 'minProperties']

const FORMATS: Readonly<Record<string, string>> = {
  date: '2030-01-07',
  'date-time': '2030-01-07T09:30:00Z',
  time: '09:30:00Z',
  duration: 'PT30M',
  email: 'jordan@example.com',
  e164: '+15005550006',
  hostname: 'example.com',
  ipv4: '192.0.2.7',
  ipv6: '2001:db8::7',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  uuid: '6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d',
}

type Made = { kind: 'made'; value: unknown } | { kind: 'unmade'; path: string }

/** The arguments, or the path of the parameter that has no value which is made here. */
type MinimalArguments = { kind: 'made'; arguments: Record<string, unknown> } | { kind: 'unmade'; path: string }

/** Arguments that satisfy `parameters`. */
export function minimalArguments(parameters: unknown): MinimalArguments {
  const schema = (parameters ?? {}) as Schema
  const made = new Maker(schema).value(schema, '', 0)
  if (made.kind === 'unmade') return made
  const { value } = made
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return { kind: 'made', arguments: isObject ? (value as Record<string, unknown>) : {} }
}

const madeOf = (value: unknown): Made => ({ kind: 'made', value })

class Maker {
  readonly #root: Schema

  constructor(root: Schema) {
    this.#root = root
  }

  value(schema: Schema, path: string, depth: number): Made {
    const unmade: Made = { kind: 'unmade', path }
    if (depth > DEPTH_MAX || UNREAD.some((keyword) => keyword in schema)) return unmade
    if (schema.$ref !== undefined) {
      const found = this.#find(schema.$ref)
      return found === undefined ? unmade : this.value(found, path, depth + 1)
    }
    if (schema.allOf !== undefined) {
      const { allOf, ...own } = schema
      const whole = together([own, ...allOf])
      return whole === undefined ? unmade : this.value(whole, path, depth + 1)
    }
    if (schema.const !== undefined) return madeOf(schema.const)
    if (schema.default !== undefined) return madeOf(schema.default)
    if (schema.enum !== undefined) return schema.enum.length === 0 ? unmade : madeOf(schema.enum[0])
    const choices = schema.anyOf ?? schema.oneOf
    if (choices !== undefined) {
      const all = choices.map((choice) => this.value(choice, path, depth + 1))
      return all.find(({ kind }) => kind === 'made') ?? all[0] ?? unmade
    }
    switch (Array.isArray(schema.type) ? schema.type[0] : (schema.type ?? 'object')) {
      case 'string': {
        const text = minimalText(schema)
        return text === undefined ? unmade : madeOf(text)
      }
      case 'integer':
      case 'number': {
        const number = minimalNumber(schema)
        return number === undefined ? unmade : madeOf(number)
      }
      case 'boolean':
        return madeOf(false)
      case 'null':
        return madeOf(null)
      case 'array':
        return this.#array(schema, path, depth)
      default:
        return this.#object(schema, path, depth)
    }
  }

  #find(ref: string): Schema | undefined {
    if (ref === '#') return this.#root
    const [, place, name = ''] = /^#\/(\$defs|definitions)\/([^/]+)$/.exec(ref) ?? []
    return place === undefined ? undefined : this.#root[place as '$defs' | 'definitions']?.[name]
  }

  #array({ minItems = 0, uniqueItems, items }: Schema, path: string, depth: number): Made {
    if (minItems === 0) return madeOf([])
    const one = this.value(items ?? { type: 'string' }, `${path}[]`, depth + 1)
    if (one.kind === 'unmade') return one
    if (minItems > 1 && uniqueItems === true) return { kind: 'unmade', path }
    return madeOf(Array.from({ length: minItems }, () => structuredClone(one.value)))
  }

  #object(schema: Schema, path: string, depth: number): Made {
    const object: Record<string, unknown> = {}
    for (const name of schema.required ?? []) {
      const inside = path === '' ? name : `${path}.${name}`
      const made = this.value(schema.properties?.[name] ?? {}, inside, depth + 1)
      if (made.kind === 'unmade') return made
      object[name] = made.value
    }
    return madeOf(object)
  }
}

const SCALARS = ['type', 'format', 'pattern', 'minLength', 'maxLength', 'minimum', 'maximum', 'multipleOf'] as const

/** What all parts say of one value; undefined: two of them bound the same of it. */
function together(parts: readonly Schema[]): Schema | undefined {
  const isTwice = SCALARS.some((name) => new Set(parts.flatMap((part) => part[name] ?? [])).size > 1)
  if (isTwice) return undefined
  return {
    ...Object.assign({}, ...parts),
    properties: Object.assign({}, ...parts.map(({ properties }) => properties ?? {})),
    required: [...new Set(parts.flatMap(({ required }) => required ?? []))],
  }
}

/** The sample of its format, a word, or what its pattern makes. */
function minimalText({ format = '', pattern, minLength = 0, maxLength = Infinity }: Schema): string | undefined {
  const expression = pattern === undefined ? /(?:)/ : expressionOf(pattern)
  const fits = (text: string): boolean =>
    text.length >= minLength && text.length <= maxLength && expression?.test(text) === true
  const sample = FORMATS[format]
  const word = 'check-up'.padEnd(minLength, '.').slice(0, Math.min(maxLength, Math.max(8, minLength)))
  if (sample !== undefined && fits(sample)) return sample
  if (sample === undefined && fits(word)) return word
  if (pattern === undefined) return undefined
  for (let more = 0; more <= MORE_MAX; more++) {
    const text = textOfPattern(pattern, more)
    if (text !== undefined && fits(text)) return text
  }
  return undefined
}

function minimalNumber(schema: Schema): number | undefined {
  const { minimum = -Infinity, maximum = Infinity, multipleOf } = schema
  const { exclusiveMinimum: above = -Infinity, exclusiveMaximum: below = Infinity } = schema
  const isWhole = schema.type === 'integer' || (Array.isArray(schema.type) && schema.type[0] === 'integer')
  const fits = (value: number): boolean =>
    (!isWhole || Number.isInteger(value)) &&
    (multipleOf === undefined || Number.isInteger(value / multipleOf)) &&
    [value >= minimum, value <= maximum, value > above, value < below].every(Boolean)
  const step = multipleOf ?? 1
  const least = Math.max(minimum, above)
  const near = Number.isFinite(least) ? Math.floor(least / step) * step : 0
  const known = [1, minimum, near, near + step, maximum, (above + below) / 2, (minimum + maximum) / 2, below - step]
  return known.find((value) => Number.isFinite(value) && fits(value))
}
