// The smallest valid arguments for a function tool, from its JSON schema: required properties only, to DEPTH_MAX.

const DEPTH_MAX = 5

type Schema = {
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  default?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  minItems?: number
  minLength?: number
  minimum?: number
  exclusiveMinimum?: number
  format?: string
}

/** Arguments that satisfy `parameters` as far as its plain keywords say. */
export function minimalArguments(parameters: unknown): Record<string, unknown> {
  const value = minimalValue((parameters ?? {}) as Schema, 0)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function minimalValue(schema: Schema, depth: number): unknown {
  if (depth > DEPTH_MAX) return null
  if (schema.const !== undefined) return schema.const
  if (schema.default !== undefined) return schema.default
  if (schema.enum !== undefined) return schema.enum[0]
  const choice = schema.anyOf?.[0] ?? schema.oneOf?.[0]
  if (choice !== undefined) return minimalValue(choice, depth + 1)
  switch (Array.isArray(schema.type) ? schema.type[0] : (schema.type ?? 'object')) {
    case 'string':
      return minimalText(schema)
    case 'integer':
    case 'number':
      return minimalNumber(schema)
    case 'boolean':
      return false
    case 'null':
      return null
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, () => minimalValue(schema.items ?? {}, depth + 1))
    default:
      return minimalObject(schema, depth)
  }
}

function minimalObject(schema: Schema, depth: number): Record<string, unknown> {
  const names = schema.required ?? []
  return Object.fromEntries(names.map((name) => [name, minimalValue(schema.properties?.[name] ?? {}, depth + 1)]))
}

function minimalText(schema: Schema): string {
  if (schema.format === 'date') return '2030-01-07'
  if (schema.format === 'date-time') return '2030-01-07T09:30:00Z'
  if (schema.format === 'email') return 'jordan@example.com'
  return 'check-up'.padEnd(schema.minLength ?? 0, '.')
}

function minimalNumber(schema: Schema): number {
  if (schema.exclusiveMinimum !== undefined) return Math.floor(schema.exclusiveMinimum) + 1
  return schema.minimum ?? 1
}
