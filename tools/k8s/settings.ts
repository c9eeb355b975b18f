// The parts of the chart that repeat what the plane says of its settings, made from src/: `npm run chart-schema`. Rules:
// KG1: values.schema.json has each variable that is no secret and that the chart does not set itself, in its own form; no other name.
// KG2: files/settings.json has what a schema says badly: the bounds of numbers in words, the names that are secrets, the names that
//      have a value of their own in the chart, the keys of PRICES, and what must fit together between variables (CC3). The chart's checks read it.
// KG3: both files are written whole, so that a stale one is found by comparing (test/deploy/settings.test.ts).
import '../node-version.mjs'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Condition, MISFITS, variablesOf } from '../../src/config-checks.ts'
import { CALLS_MAX, NUMBERS_MAX, POOLS_MAX, TENANTS_MAX } from '../../src/control/limits.ts'
import { AMOUNT_MAX, AMOUNT_NAMES, CURRENCY } from '../../src/prices.ts'
import { type Form, VARIABLES, type Variable } from '../../src/variables.ts'
import { readCommandLine } from '../command-line.ts'
import { ROOT } from '../tree.ts'
import { CHART } from './chart.ts'

export const SCHEMA_FILE = join(CHART, 'values.schema.json')
const SETTINGS_FILE = join(CHART, 'files/settings.json')

/** Variables that the chart sets, with the value to change instead. */
export const OWN: Readonly<Record<string, string>> = {
  HOST: 'the pod listens at all its addresses',
  PORT: 'change edge.port',
  OPS_HOST: 'the pod listens at all its addresses',
  OPS_PORT: 'change edge.opsPort',
  PUBLIC_BASE_URL: 'change publicBaseUrl',
  POD_NAME: 'each pod gets its own',
  POD_ADDRESS: 'each pod gets its own',
  NODE_ENV: 'it is production',
  CELL: 'change cell',
  CEILING_CALLS: 'change ceilingCalls',
  LIMITS_FILE: 'change limits',
  CALLS_MAX: 'change edge.callsMax',
  DRAIN_DEADLINE_MS: 'change edge.graceSeconds',
  DRAIN_NATURAL_MS: 'change edge.drainNaturalSeconds',
  DATA_DIR: 'change edge.dataSize, which is the size of the folder',
  TWILIO_SIGNATURE_CHECK: 'signatures are always checked in a cluster',
}

const USAGE = `npm run chart-schema [-- --check]

Writes the chart's values.schema.json and files/settings.json from src/variables.ts, src/config-checks.ts and
src/control/limits.ts.

  --check  write nothing; exit code 1 when a file is not as it would be written
  --help   this text`

const UNITS: readonly [RegExp, string][] = [
  [/_MS$/, 'milliseconds'],
  [/_BYTES$/, 'bytes'],
  [/_DAYS$/, 'days'],
]
/** The most repeats that the expressions of Go know. */
const REPEATS_MAX = 1_000

type Schema = Record<string, unknown>

const variables = (): [string, Variable<unknown>][] => Object.entries(VARIABLES) as [string, Variable<unknown>][]

/** The names of the plane's secrets. */
const secretNames = (): string[] =>
  variables()
    .filter(([, { secret }]) => secret)
    .map(([name]) => name)

/** [KG1] The schema of `settings`. */
function settingsSchema(): Schema {
  const plain = variables().filter(([name, { secret }]) => !secret && OWN[name] === undefined)
  const refused = variables().filter(([name, { secret }]) => secret || OWN[name] !== undefined)
  return {
    type: 'object',
    description: 'Variables of docs/configuration.md as texts, numbers too: "3300000".',
    additionalProperties: false,
    properties: {
      ...Object.fromEntries(plain.map(([name, variable]) => [name, schemaOf(name, variable)])),
      // Known here so that the chart's own checks can refuse them with the value to use.
      ...Object.fromEntries(
        refused.map(([name, { secret }]) => [
          name,
          { description: secret ? 'A secret: name it in secrets.keys.' : `Not here: ${OWN[name]}.` },
        ]),
      ),
    },
  }
}

/** The variable's own words for what to write; a line feed fits no form. */
function wordsOf({ parse }: Variable<unknown>): string {
  const parsed = parse('\n')
  return parsed.kind === 'bad' ? parsed.fix : ''
}

function schemaOf(name: string, variable: Variable<unknown>): Schema {
  const { form, shown } = variable
  const unit = UNITS.find(([ending]) => ending.test(name))?.[1]
  const words = wordsOf(variable)
  const description = `${[words, unit === undefined ? '' : `in ${unit}`].filter((part) => part !== '').join(', ')}; default: ${shown}`
  return { type: 'string', description, ...textSchema(form) }
}

/** The outline of a form that a JSON schema can hold a text to. */
export function textSchema(form: Form): Schema {
  switch (form.kind) {
    case 'integer':
      return { pattern: '^[0-9]{1,15}$' }
    case 'decimal':
      return { pattern: '^[0-9]*\\.?[0-9]+$' }
    case 'choice':
      return { enum: form.choices }
    case 'url':
      return { pattern: urlPattern(form) }
    case 'text':
      return { pattern: form.pattern.source.replace(/\{(\d+),(\d+)\}/g, narrow), maxLength: 4_096 }
  }
}

/** `{1,4096}` is `+` to Go, whose expressions repeat a thousand times at most. */
const narrow = (whole: string, min: string, max: string): string =>
  Number(max) <= REPEATS_MAX ? whole : Number(min) === 0 ? '*' : '+'

function urlPattern({ schemes, plainToLoopback }: Form & { kind: 'url' }): string {
  const rest = '([/?][^#\\s]*)?'
  const any = `[^/?#@\\s]+${rest}`
  const loopback = `(localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\])(:[0-9]+)?${rest}`
  const isSecure = (scheme: string) => scheme === 'https' || scheme === 'wss'
  const parts = schemes.map((scheme) => `${scheme}://${plainToLoopback && !isSecure(scheme) ? loopback : any}`)
  return `^(${parts.join('|')})$`
}

const NAME = '^[a-z0-9][a-z0-9._-]{0,62}$'
const MODEL = '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$'
/** The NAME of a variable; a key itself does not fit. */
const VARIABLE = '^[A-Z][A-Z0-9_]{0,99}$'

const object = (properties: Schema, required: string[] = []): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
  ...(required.length === 0 ? {} : { required }),
})
const whole = (minimum: number): Schema => ({ type: 'integer', minimum, maximum: CALLS_MAX })
const weight: Schema = { type: 'number', minimum: 0.001, maximum: 1_000 }
const spent = { type: 'number', minimum: 0.001, maximum: 1_000_000_000 }
const quota: Schema = { guaranteed: whole(0), burst: whole(0), weight, minutesPerDay: spent, moneyPerDay: spent }

/** The schema of `limits`: the names and forms of src/control/limits.ts; what must fit together templates/_limits.tpl says. */
function limitsSchema(): Schema {
  const key = { type: 'string', pattern: VARIABLE }
  const endpoint = {
    type: 'object',
    oneOf: [
      object(
        {
          kind: { const: 'openai' },
          url: { type: 'string', pattern: urlPattern({ kind: 'url', plainToLoopback: true, schemes: ['wss', 'ws'] }) },
          model: { type: 'string', pattern: MODEL },
          keyVariable: key,
        },
        ['kind', 'keyVariable'],
      ),
      object(
        {
          kind: { const: 'azure' },
          endpoint: {
            type: 'string',
            pattern: urlPattern({ kind: 'url', plainToLoopback: true, schemes: ['https', 'http'] }),
          },
          deployment: { type: 'string', pattern: MODEL },
          keyVariable: key,
        },
        ['kind', 'endpoint', 'deployment', 'keyVariable'],
      ),
    ],
  }
  const pool = object(
    {
      pool: { type: 'string', pattern: NAME },
      callsMax: whole(1),
      weight,
      connectsPerSecond: { type: 'number', minimum: 0.1, maximum: 10_000 },
      endpoint,
    },
    ['pool', 'callsMax'],
  )
  const number = { type: 'string', pattern: '^\\+[1-9][0-9]{6,14}$' }
  const tenant = object(
    {
      tenant: { type: 'string', pattern: NAME },
      numbers: { type: 'array', maxItems: NUMBERS_MAX, items: number },
      ...quota,
    },
    ['tenant'],
  )
  return {
    ...object({
      pools: { type: 'array', minItems: 1, maxItems: POOLS_MAX, items: pool },
      tenants: { type: 'array', maxItems: TENANTS_MAX, items: tenant },
      otherTenants: object(quota),
      reserve: object({ inbound: whole(0), outbound: whole(0) }),
      queueMax: whole(0),
      waitMaxMs: { type: 'integer', minimum: 1_000, maximum: 3_600_000 },
    }),
    description: 'Empty, or what docs/limits.md tells.',
    if: { minProperties: 1 },
    // biome-ignore lint/suspicious/noThenProperty: the word of JSON schema
    then: { required: ['pools'] },
  }
}

/** [KG1] The whole schema: what is written by hand in `before`, and the parts that are made here. */
export function makeSchema(before: string): string {
  const schema = JSON.parse(before) as { properties: Record<string, Schema> }
  const secrets = schema.properties.secrets as { properties: { keys: Schema; from: Schema } }
  schema.properties.settings = settingsSchema()
  schema.properties.limits = limitsSchema()
  secrets.properties.keys.items = { enum: secretNames() }
  secrets.properties.from.propertyNames = { enum: secretNames() }
  return `${JSON.stringify(schema, null, 2)}\n`
}

/** A condition as the templates of the chart read it. */
const conditionOf = (condition: Condition) =>
  'pattern' in condition ? { ...condition, pattern: condition.pattern.source } : condition

/** [KG2] */
export function makeSettings(): string {
  const ranges = variables().flatMap(([name, variable]) => {
    const { form } = variable
    if (form.kind !== 'integer' && form.kind !== 'decimal') return []
    return [[name, { min: form.min, max: form.max, words: wordsOf(variable) }] as const]
  })
  const compared = new Set<string>(MISFITS.flatMap(({ when }) => when).flatMap(variablesOf))
  const defaults = variables().filter(([name, { fallback }]) => compared.has(name) && fallback !== undefined)
  const content = {
    own: OWN,
    secrets: secretNames(),
    names: Object.keys(VARIABLES),
    ranges: Object.fromEntries(ranges),
    prices: { currency: CURRENCY.source, amounts: AMOUNT_NAMES, max: AMOUNT_MAX },
    defaults: Object.fromEntries(defaults.map(([name, { shown }]) => [name, shown])),
    misfits: MISFITS.map((misfit) => ({ ...misfit, when: misfit.when.map(conditionOf) })),
  }
  return `${JSON.stringify(content, null, 2)}\n`
}

/** [KG3] The files that are not as they would be made now. */
export function staleFiles(): string[] {
  const schema = readFileSync(SCHEMA_FILE, 'utf8')
  return [
    ...(schema === makeSchema(schema) ? [] : [SCHEMA_FILE]),
    ...(readFileSync(SETTINGS_FILE, 'utf8') === makeSettings() ? [] : [SETTINGS_FILE]),
  ].map((path) => relative(ROOT, path))
}

if (import.meta.main) {
  const { values } = readCommandLine(USAGE, { check: { type: 'boolean' } })
  const stale = staleFiles()
  if (values.check === true && stale.length > 0) {
    console.error(`stale: ${stale.join(', ')}; run npm run chart-schema and commit what it writes`)
    process.exitCode = 1
  } else if (values.check !== true) {
    writeFileSync(SCHEMA_FILE, makeSchema(readFileSync(SCHEMA_FILE, 'utf8')))
    writeFileSync(SETTINGS_FILE, makeSettings())
    console.log('values.schema.json and files/settings.json are made from src/variables.ts and src/control/limits.ts')
  }
}
