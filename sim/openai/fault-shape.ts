// What the control API accepts, as checks.
import {
  anything,
  type Check,
  flag,
  integerIn,
  invalidType,
  isObject,
  listOf,
  nullable,
  numberIn,
  oneOf,
  shape,
  text,
} from './kit/checks.ts'
import type { Act, Faults } from './options.ts'
import { BAD_ANSWER, RANDOM_ANSWERS } from './session/bad-answers.ts'

const WAIT_MS_MAX = 600_000
const BAD_ANSWERS_MAX = 1_000

const ACTS: Record<string, Check> = {
  drop: shape({ kind: anything }),
  close: shape({ kind: anything, code: integerIn(1000, 4999), reason: text }, ['code']),
  stall: shape({ kind: anything, ms: numberIn(0, WAIT_MS_MAX) }, ['ms']),
  expire: shape({ kind: anything }),
  error: shape({ kind: anything, code: text, message: text, type: text }, ['code']),
}

const ACT: Check = (value, path) => {
  if (!isObject(value)) return invalidType(path, 'an object', value)
  return oneOf(...Object.keys(ACTS))(value.kind, `${path}.kind`) ?? ACTS[String(value.kind)]?.(value, path)
}

const SET = shape({
  refuse: nullable(
    shape({ status: integerIn(400, 599), code: text, count: integerIn(-1, 1e6) }, ['status', 'code', 'count']),
  ),
  connectDelayMs: numberIn(0, WAIT_MS_MAX),
  slowMs: numberIn(0, WAIT_MS_MAX),
  updatedDelayMs: numberIn(0, WAIT_MS_MAX),
  lateDeltas: integerIn(0, 100),
  unknownEvents: flag,
  reorderDones: flag,
  duplicateCalls: flag,
  rateLimitedResponses: integerIn(0, 1e6),
  badAnswers: listOf(BAD_ANSWER, BAD_ANSWERS_MAX),
  randomAnswers: nullable(RANDOM_ANSWERS),
  midResponse: nullable(
    shape({ afterAudioMs: numberIn(0, WAIT_MS_MAX), act: ACT, count: integerIn(1, 1e6) }, [
      'afterAudioMs',
      'act',
      'count',
    ]),
  ),
})

/** POST /sim/faults: standing faults to set, and an act on a session, a call, or all. */
export type FaultOrder = {
  set?: Partial<Faults>
  reset?: boolean
  act?: Act
  session?: string
  call?: number
  ceiling?: number
}

/** Checks POST /sim/faults. */
export const FAULT_ORDER: Check = shape({
  set: SET,
  reset: flag,
  act: ACT,
  session: text,
  call: integerIn(0, 0xffffffff),
  ceiling: integerIn(0, 1e6),
})

/** Checks POST /sim/script: a whole script, or the name of a known one to be the default. */
export const SCRIPT_ORDER: Check = shape({ script: anything, name: text })
