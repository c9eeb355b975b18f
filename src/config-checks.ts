// What must fit together between variables; each misfit with its fix. Rules:
// CC1: every check adds to the list and none stops the others; a secret's text never stands in a problem. A variable that could
//      not be read is not also told to be missing.
// CC2: a role is asked for what it uses and for nothing else: a migration needs no name of a pod and no secret of the calls.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { checkPrices, checkWork } from './config-work.ts'
import { isLoopbackHost } from './kit/loopback.ts'
import type { Problem, Values, VariableName } from './variables.ts'

export const isProduction = (values: Values): boolean => values.NODE_ENV === 'production'

/** The roles that read the environment. */
export const CONFIGURED_ROLES = ['all', 'edge', 'worker', 'migrate', 'reseal'] as const
export type ConfiguredRole = (typeof CONFIGURED_ROLES)[number]

/** Checks what depends on more than one variable, as far as `role` uses it. [CC2] */
export function checkTogether(values: Values, role: ConfiguredRole, problems: Problem[]): void {
  // A variable that is malformed is named once: what follows from its absence does not hold.
  const malformed = new Set(problems.map(({ variable }) => variable.replace(/_FILE$/, '')))
  const add = (variable: VariableName, problem: string, fix: string) => {
    if (!malformed.has(variable)) problems.push({ variable, problem, fix })
  }
  if (role === 'migrate' || role === 'reseal') return
  checkBase(values, add)
  checkCallBacks(values, add)
  checkPrices(values, add)
  if (role !== 'edge') checkWork(values, add)
  if (role !== 'worker') checkPod(values, add)
}

/** What takes calls. */
function checkPod(values: Values, add: AddProblem): void {
  checkCarrier(values, add)
  checkModel(values, add)
  checkFleet(values, add)
  if (values.QUEUE_OVERFLOW === 'transfer' && values.FALLBACK_NUMBER === undefined)
    add('FALLBACK_NUMBER', 'is not set while QUEUE_OVERFLOW is transfer', 'set the number of a person')
  for (const name of ['PLAYOUT_LEAD_MS', 'PLAYOUT_CHUNK_MS', 'MARK_EVERY_MS'] as const) {
    if (values[name] % 20 !== 0) add(name, `cannot be ${values[name]}`, 'write a multiple of 20 (a frame is 20 ms)')
  }
  if (values.PLAYOUT_CHUNK_MS > values.PLAYOUT_LEAD_MS) {
    add('PLAYOUT_CHUNK_MS', 'is more than PLAYOUT_LEAD_MS', 'make it the lead or less')
  }
  const module = values.AGENT_MODULE
  if (module !== undefined && !statSync(resolve(module), { throwIfNoEntry: false })?.isFile()) {
    add('AGENT_MODULE', `names no file (${JSON.stringify(module)})`, 'give the path of a module that exists')
  }
}

type AddProblem = (variable: VariableName, problem: string, fix: string) => void

function checkBase({ PUBLIC_BASE_URL: base }: Values, add: AddProblem): void {
  if (base !== undefined && (base.pathname !== '/' || base.search !== ''))
    add('PUBLIC_BASE_URL', 'has a path or a query', 'write scheme and host only, like https://voice.example.com')
}

function checkCarrier(values: Values, add: AddProblem): void {
  const base = values.PUBLIC_BASE_URL
  const listensOnLoopback = isLoopbackHost(values.HOST)
  if (base === undefined && (isProduction(values) || !listensOnLoopback)) {
    add('PUBLIC_BASE_URL', 'is not set', 'set the https:// address at which the carrier reaches this plane')
  }
  if (values.TWILIO_SIGNATURE_CHECK === 'off' && !isLoopbackOnly(values)) {
    const fix =
      'remove it; checks may be off only when HOST and PUBLIC_BASE_URL are loopback and NODE_ENV is not production'
    add('TWILIO_SIGNATURE_CHECK', 'cannot be "off" here', fix)
  } else if (values.TWILIO_SIGNATURE_CHECK === 'on' && !values.TWILIO_AUTH_TOKEN && !isLoopbackOnly(values)) {
    add('TWILIO_AUTH_TOKEN', 'is not set', 'set the auth token of the Twilio account (or TWILIO_AUTH_TOKEN_FILE)')
  }
  if (values.TWILIO_AUTH_TOKEN_SECONDARY && !values.TWILIO_AUTH_TOKEN) {
    add('TWILIO_AUTH_TOKEN_SECONDARY', 'is set without TWILIO_AUTH_TOKEN', 'set the primary token too')
  }
  if (values.POD_NAME !== undefined && !values.STREAM_TOKEN_SECRET && !listensOnLoopback) {
    add(
      'STREAM_TOKEN_SECRET',
      'is not set while POD_NAME is',
      'set the same secret, 32 characters or more, on all pods',
    )
  }
}

function checkCallBacks(values: Values, add: AddProblem): void {
  if (values.QUEUE_OVERFLOW !== 'call-back') return
  for (const name of ['CALLBACK_FROM', 'TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'PUBLIC_BASE_URL'] as const)
    if (values[name] === undefined)
      add(name, 'is not set while QUEUE_OVERFLOW is call-back', 'set it: a call-back is made over the carrier’s API')
}

function checkModel(values: Values, add: AddProblem): void {
  const azure = ['AZURE_OPENAI_ENDPOINT', 'AZURE_OPENAI_API_KEY', 'AZURE_OPENAI_DEPLOYMENT'] as const
  const absent = azure.filter((name) => values[name] === undefined)
  if (absent.length < azure.length) {
    for (const name of absent) add(name, 'is not set', `the three ${azure.join(', ')} stand together or not at all`)
  }
  const override = values.OPENAI_REALTIME_URL
  if (override !== undefined && !values.OPENAI_API_KEY && !isLoopbackHost(override.hostname)) {
    add('OPENAI_API_KEY', 'is not set while OPENAI_REALTIME_URL is', 'set the key (or OPENAI_API_KEY_FILE)')
  }
  if (override !== undefined && absent.length === 0) {
    add('OPENAI_REALTIME_URL', 'is set beside the AZURE_OPENAI_ variables', 'keep one of the two')
  }
}

function checkFleet(values: Values, add: AddProblem): void {
  if (values.REDIS_URL !== undefined && values.POD_NAME === undefined) {
    add('POD_NAME', 'is not set while REDIS_URL is', 'give each pod of the fleet its own name')
  }
  if (values.REDIS_URL !== undefined && !values.STREAM_TOKEN_SECRET) {
    const fix = 'set the same secret, 32 characters or more, on all pods'
    add('STREAM_TOKEN_SECRET', 'is not set while REDIS_URL is', fix)
  }
  if (values.REDIS_URL !== undefined && values.DATABASE_URL === undefined) {
    add('DATABASE_URL', 'is not set while REDIS_URL is', 'set the Postgres in which the fleet keeps its calls')
  }
  const limits = values.LIMITS_FILE
  if (limits !== undefined && !statSync(resolve(limits), { throwIfNoEntry: false })?.isFile()) {
    add('LIMITS_FILE', `names no file (${JSON.stringify(limits)})`, 'give the path of a file that exists')
  }
}

/** Nobody but this machine can reach the plane: it listens on loopback and names itself so (or not at all). */
function isLoopbackOnly(values: Values): boolean {
  const base = values.PUBLIC_BASE_URL
  return !isProduction(values) && isLoopbackHost(values.HOST) && (base === undefined || isLoopbackHost(base.hostname))
}
