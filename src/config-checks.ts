// What must fit together between variables; each misfit with its fix. Rules:
// CC1: every check adds to the list and none stops the others; a secret's text never stands in a problem. A variable that could
//      not be read is not also told to be missing.
// CC2: a role is asked for what it uses and for nothing else: a migration needs no name of a pod and no secret of the calls.
// CC3: a misfit is a row of data where the texts alone decide, so that the Helm chart refuses what the plane would refuse
//      (`npm run chart-schema`). What this machine decides, its files and addresses, is judged by a function, by name.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { isLoopbackHost } from './kit/loopback.ts'
import type { Problem, Values, VariableName } from './variables.ts'

export const isProduction = (values: Values): boolean => values.NODE_ENV === 'production'

/** The roles that read the environment. */
export const CONFIGURED_ROLES = ['all', 'edge', 'worker', 'migrate', 'reseal'] as const
export type ConfiguredRole = (typeof CONFIGURED_ROLES)[number]

/** Who is asked: what takes calls, what works after them, or both. */
type Asked = 'pods' | 'workers' | 'both'

/** What is true of one variable, default included; an expression is never true of a variable without a value, nor asked of a secret. */
export type Condition =
  | { variable: VariableName; is: 'given' | 'absent' }
  | { variable: VariableName; is: 'like' | 'unlike'; pattern: RegExp }
  | { variable: VariableName; is: 'no-multiple'; of: number }
  | { variable: VariableName; is: 'above'; other: VariableName }

/** [CC3] A misfit: `variable` has the problem while all of `when` holds. */
export type Misfit = {
  variable: VariableName
  problem: string
  fix: string
  asked: Asked
  when: readonly Condition[]
}

const given = (variable: VariableName): Condition => ({ variable, is: 'given' })
const absent = (variable: VariableName): Condition => ({ variable, is: 'absent' })
const like = (variable: VariableName, pattern: RegExp): Condition => ({ variable, is: 'like', pattern })
const unlike = (variable: VariableName, pattern: RegExp): Condition => ({ variable, is: 'unlike', pattern })

const LOOPBACK_URL = /^[a-z]+:\/\/(localhost|127([.][0-9]{1,3}){3}|\[::1\])(:[0-9]+)?([/?].*)?$/
/** The host at which texts are judged unless told otherwise. */
const OPENAI_URL = /^[a-z]+:\/\/api[.]openai[.]com([/?].*)?$/
const AZURE = ['AZURE_OPENAI_ENDPOINT', 'AZURE_OPENAI_API_KEY', 'AZURE_OPENAI_DEPLOYMENT'] as const
const CALLING_BACK = ['CALLBACK_FROM', 'TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'PUBLIC_BASE_URL'] as const
const SHARED_SECRET = 'set the same secret, 32 characters or more, on all pods'
const ANALYSIS_FIX = 'set ANALYSIS_API_KEY or ANALYSIS_URL, or write rules'

/** [CC3] */
export const MISFITS: readonly Misfit[] = [
  ...CALLING_BACK.map(
    (variable): Misfit => ({
      variable,
      problem: 'is not set while QUEUE_OVERFLOW is call-back',
      fix: 'set it: a call-back is made over the carrier’s API',
      asked: 'both',
      when: [like('QUEUE_OVERFLOW', /^call-back$/), absent(variable)],
    }),
  ),
  ...(['TENANT_MONEY_PER_DAY', 'CALL_BUDGET'] as const).map(
    (variable): Misfit => ({
      variable,
      problem: 'is set without PRICES',
      fix: 'set PRICES too: without them nobody knows what a call costs',
      asked: 'both',
      when: [given(variable), absent('PRICES')],
    }),
  ),
  {
    variable: 'FALLBACK_NUMBER',
    problem: 'is not set while QUEUE_OVERFLOW is transfer',
    fix: 'set the number of a person',
    asked: 'pods',
    when: [like('QUEUE_OVERFLOW', /^transfer$/), absent('FALLBACK_NUMBER')],
  },
  ...(['PLAYOUT_LEAD_MS', 'PLAYOUT_CHUNK_MS', 'MARK_EVERY_MS'] as const).map(
    (variable): Misfit => ({
      variable,
      problem: 'is no multiple of 20',
      fix: 'write a multiple of 20: a frame is 20 ms',
      asked: 'pods',
      when: [{ variable, is: 'no-multiple', of: 20 }],
    }),
  ),
  {
    variable: 'PLAYOUT_CHUNK_MS',
    problem: 'is more than PLAYOUT_LEAD_MS',
    fix: 'make it the lead or less',
    asked: 'pods',
    when: [{ variable: 'PLAYOUT_CHUNK_MS', is: 'above', other: 'PLAYOUT_LEAD_MS' }],
  },
  {
    variable: 'TWILIO_AUTH_TOKEN_SECONDARY',
    problem: 'is set without TWILIO_AUTH_TOKEN',
    fix: 'set the primary token too',
    asked: 'pods',
    when: [given('TWILIO_AUTH_TOKEN_SECONDARY'), absent('TWILIO_AUTH_TOKEN')],
  },
  ...AZURE.flatMap((variable) =>
    AZURE.filter((other) => other !== variable).map(
      (other): Misfit => ({
        variable,
        problem: 'is not set',
        fix: `the three ${AZURE.join(', ')} stand together or not at all`,
        asked: 'pods',
        when: [given(other), absent(variable)],
      }),
    ),
  ),
  {
    variable: 'OPENAI_API_KEY',
    problem: 'is not set while OPENAI_REALTIME_URL is',
    fix: 'set the key (or OPENAI_API_KEY_FILE)',
    asked: 'pods',
    when: [unlike('OPENAI_REALTIME_URL', LOOPBACK_URL), absent('OPENAI_API_KEY')],
  },
  {
    variable: 'OPENAI_REALTIME_URL',
    problem: 'is set beside the AZURE_OPENAI_ variables',
    fix: 'keep one of the two',
    asked: 'pods',
    when: [given('OPENAI_REALTIME_URL'), ...AZURE.map(given)],
  },
  {
    variable: 'POD_NAME',
    problem: 'is not set while REDIS_URL is',
    fix: 'give each pod of the fleet its own name',
    asked: 'pods',
    when: [given('REDIS_URL'), absent('POD_NAME')],
  },
  {
    variable: 'STREAM_TOKEN_SECRET',
    problem: 'is not set while REDIS_URL is',
    fix: SHARED_SECRET,
    asked: 'pods',
    when: [given('REDIS_URL'), absent('STREAM_TOKEN_SECRET')],
  },
  {
    variable: 'DATABASE_URL',
    problem: 'is not set while REDIS_URL is',
    fix: 'set the Postgres in which the fleet keeps its calls',
    asked: 'pods',
    when: [given('REDIS_URL'), absent('DATABASE_URL')],
  },
  // The key of the speech model is the analysis' key where both are asked at one host (CWK2).
  ...[absent('OPENAI_API_KEY'), unlike('OPENAI_REALTIME_URL', OPENAI_URL)].map(
    (isElsewhere): Misfit => ({
      variable: 'ANALYSIS',
      problem: 'is "model" without a key for it',
      fix: ANALYSIS_FIX,
      asked: 'workers',
      when: [like('ANALYSIS', /^model$/), absent('ANALYSIS_URL'), absent('ANALYSIS_API_KEY'), isElsewhere],
    }),
  ),
  {
    variable: 'CRM_WEBHOOK_SECRET',
    problem: 'is not set while CRM_WEBHOOK_URL is',
    fix: 'set a secret of 16 characters or more that the receiver knows',
    asked: 'workers',
    when: [given('CRM_WEBHOOK_URL'), absent('CRM_WEBHOOK_SECRET')],
  },
  {
    variable: 'CRM_WEBHOOK_URL',
    problem: 'is not https',
    fix: 'use https://, or CRM_ALLOW_PRIVATE=on for a receiver in your own network',
    asked: 'workers',
    when: [like('CRM_WEBHOOK_URL', /^http:/), unlike('CRM_ALLOW_PRIVATE', /^on$/)],
  },
]

type Judged = {
  variable: VariableName
  asked: Asked
  /** The problem; undefined: there is none. */
  problemOf(values: Values): string | undefined
  fix: string
}

/** [CC3] What the texts do not decide alone. */
export const JUDGED = {
  'a public address with a path': {
    variable: 'PUBLIC_BASE_URL',
    asked: 'both',
    problemOf: ({ PUBLIC_BASE_URL: base }) =>
      base !== undefined && (base.pathname !== '/' || base.search !== '') ? 'has a path or a query' : undefined,
    fix: 'write scheme and host only, like https://voice.example.com',
  },
  'no public address': {
    variable: 'PUBLIC_BASE_URL',
    asked: 'pods',
    problemOf: (values) =>
      values.PUBLIC_BASE_URL === undefined && (isProduction(values) || !isLoopbackHost(values.HOST))
        ? 'is not set'
        : undefined,
    fix: 'set the https:// address at which the carrier reaches this plane',
  },
  'signatures unchecked': {
    variable: 'TWILIO_SIGNATURE_CHECK',
    asked: 'pods',
    problemOf: (values) =>
      values.TWILIO_SIGNATURE_CHECK === 'off' && !isLoopbackOnly(values) ? 'cannot be "off" here' : undefined,
    fix: 'remove it; checks may be off only when HOST and PUBLIC_BASE_URL are loopback and NODE_ENV is not production',
  },
  'no token of the carrier': {
    variable: 'TWILIO_AUTH_TOKEN',
    asked: 'pods',
    problemOf: (values) =>
      values.TWILIO_SIGNATURE_CHECK === 'on' && !values.TWILIO_AUTH_TOKEN && !isLoopbackOnly(values)
        ? 'is not set'
        : undefined,
    fix: 'set the auth token of the Twilio account (or TWILIO_AUTH_TOKEN_FILE)',
  },
  'a named pod without the secret of streams': {
    variable: 'STREAM_TOKEN_SECRET',
    asked: 'pods',
    problemOf: (values) =>
      values.POD_NAME !== undefined && !values.STREAM_TOKEN_SECRET && !isLoopbackHost(values.HOST)
        ? 'is not set while POD_NAME is'
        : undefined,
    fix: SHARED_SECRET,
  },
  'no file of the agent': {
    variable: 'AGENT_MODULE',
    asked: 'pods',
    problemOf: ({ AGENT_MODULE: path }) => namesNoFile(path),
    fix: 'give the path of a module that exists',
  },
  'no file of limits': {
    variable: 'LIMITS_FILE',
    asked: 'pods',
    problemOf: ({ LIMITS_FILE: path }) => namesNoFile(path),
    fix: 'give the path of a file that exists',
  },
} as const satisfies Record<string, Judged>

/** Checks what depends on more than one variable, as far as `role` uses it. [CC2] */
export function checkTogether(values: Values, role: ConfiguredRole, problems: Problem[]): void {
  if (role === 'migrate' || role === 'reseal') return
  // A variable that is malformed is named once: what follows from its absence does not hold.
  const malformed = new Set(problems.map(({ variable }) => variable.replace(/_FILE$/, '')))
  const isAsked = (asked: Asked) => asked === 'both' || role === 'all' || (role === 'worker') === (asked === 'workers')
  const add = ({ variable, fix }: Pick<Problem, 'variable' | 'fix'>, problem: string) => {
    const isTold = problems.some((one) => one.variable === variable && one.problem === problem)
    if (!isTold) problems.push({ variable, problem, fix })
  }
  for (const misfit of MISFITS) {
    const isKnown = misfit.when.flatMap(variablesOf).every((variable) => !malformed.has(variable))
    if (isAsked(misfit.asked) && isKnown && misfit.when.every((condition) => holds(condition, values)))
      add(misfit, misfit.problem)
  }
  for (const judged of Object.values<Judged>(JUDGED)) {
    if (!isAsked(judged.asked) || malformed.has(judged.variable)) continue
    const problem = judged.problemOf(values)
    if (problem !== undefined) add(judged, problem)
  }
}

/** What a condition looks at. */
export const variablesOf = (condition: Condition): VariableName[] =>
  condition.is === 'above' ? [condition.variable, condition.other] : [condition.variable]

function holds(condition: Condition, values: Values): boolean {
  const value = values[condition.variable]
  switch (condition.is) {
    case 'given':
      return value !== undefined
    case 'absent':
      return value === undefined
    case 'like':
    case 'unlike':
      return value !== undefined && condition.pattern.test(String(value)) === (condition.is === 'like')
    case 'no-multiple':
      return Number(value) % condition.of !== 0
    case 'above':
      return Number(value) > Number(values[condition.other])
  }
}

const namesNoFile = (path: string | undefined): string | undefined =>
  path === undefined || statSync(resolve(path), { throwIfNoEntry: false })?.isFile()
    ? undefined
    : `names no file (${JSON.stringify(path)})`

/** Nobody but this machine can reach the plane: it listens on loopback and names itself so (or not at all). */
function isLoopbackOnly(values: Values): boolean {
  const base = values.PUBLIC_BASE_URL
  return !isProduction(values) && isLoopbackHost(values.HOST) && (base === undefined || isLoopbackHost(base.hostname))
}
