// The admin routes for what is no longer to be kept. Rules:
// EOP1: a request names a tenant and one caller's number. What it has erased is told in numbers of calls alone. A body with a member that is not
//      known is refused whole: a slip in a name must not widen what is erased.
// EOP3: all calls of a tenant are erased only when the request says `everything` and how many calls that is. A request that does not, or whose count is
//      off by more than COUNT_SLACK_SHARE of them, is answered with the count (409), and nothing is erased.
// EOP2: a number that identifies nobody is refused with 400: it would erase whom nobody named. Where some calls cannot be told apart,
//      since their key is gone, nothing is erased and the answer is 409.
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { VoiceError } from '../kit/errors.ts'
import type { ErasureStore } from '../work/erasures.ts'
import type { Operators } from './operators.ts'

const ID = /^\d{1,18}$/
const TENANT = /^[\x21-\x7e]{1,100}$/
const NUMBER = /^[\x20-\x7e]{2,200}$/
/** Calls come and go between the question and the confirmation: of so many hundredths, rounded up. */
const COUNT_SLACK_SHARE = 0.01

const BODY = z.union([
  z.strictObject({ tenant: z.string().regex(TENANT), from: z.string().regex(NUMBER) }),
  z.strictObject({
    tenant: z.string().regex(TENANT),
    everything: z.literal(true).optional(),
    calls: z.number().int().min(0).optional(),
  }),
])
const FORM =
  'write {"tenant": name, "from": number} for one caller, or {"tenant": name, "everything": true, "calls": how many} for all callers; nothing else'

/** POST /admin/erasures, GET /admin/erasures/:id. */
export async function erasureRoutes(
  app: FastifyInstance,
  { store, operators }: { store: Pick<ErasureStore, 'request' | 'count' | 'find'>; operators: Operators },
): Promise<void> {
  operators.guard(app, 'erase')
  app.post('/admin/erasures', async (request, reply) => {
    const body = BODY.safeParse(request.body).data
    if (body === undefined) return reply.code(400).send({ refused: FORM })
    const { tenant } = body
    const from = 'from' in body ? body.from : undefined
    if (!('from' in body)) {
      const calls = await store.count(tenant)
      if (body.everything !== true || !isConfirmed(body.calls, calls))
        return reply.code(409).send({
          refused: `this erases all calls of the tenant: confirm with {"tenant": …, "everything": true, "calls": ${calls}}`,
          calls,
        })
    }
    try {
      const erasure = await store.request({ tenant, from })
      return reply.code(erasure.isDone ? 200 : 202).send(erasure)
    } catch (error) {
      if (error instanceof VoiceError && error.code === 'CALLER_WITHHELD')
        return reply.code(400).send({ refused: error.message, code: error.code })
      if (error instanceof VoiceError && error.code === 'DATA_KEY_MISSING')
        return reply.code(409).send({ refused: error.message, code: error.code })
      throw error
    }
  })
  app.get<{ Params: { id: string } }>('/admin/erasures/:id', async (request, reply) => {
    const erasure = ID.test(request.params.id) ? await store.find(request.params.id) : undefined
    return erasure ?? reply.code(404).send({ kind: 'unknown' })
  })
}

/** [EOP3] */
function isConfirmed(confirmed: number | undefined, calls: number): boolean {
  if (confirmed === undefined) return false
  if (confirmed === 0) return calls === 0
  return Math.abs(confirmed - calls) <= Math.ceil(COUNT_SLACK_SHARE * calls)
}
