// The admin routes for what is no longer to be kept. Rules:
// EOP1: a request names a tenant, and a caller's number or none for all callers; what it has erased is told in numbers of calls alone.
// EOP2: a number that identifies nobody is refused with 400: it would erase whom nobody named. Where some calls cannot be told apart, since their key is gone, nothing is erased and the answer is 409.
import type { FastifyInstance } from 'fastify'
import { VoiceError } from '../kit/errors.ts'
import type { ErasureStore } from '../work/erasures.ts'
import { askBearer } from './bearer.ts'

const ID = /^\d{1,18}$/
const TENANT = /^[\x21-\x7e]{1,100}$/
const NUMBER = /^[\x20-\x7e]{2,200}$/

/** POST /admin/erasures, GET /admin/erasures/:id. */
export async function erasureRoutes(
  app: FastifyInstance,
  { store, token }: { store: Pick<ErasureStore, 'request' | 'find'>; token: string | undefined },
): Promise<void> {
  if (token === undefined) return
  askBearer(app, token)
  app.post<{ Body: { tenant?: unknown; from?: unknown } | null }>('/admin/erasures', async (request, reply) => {
    const { tenant, from } = request.body ?? {}
    const isNumber = from === undefined || (typeof from === 'string' && NUMBER.test(from))
    if (typeof tenant !== 'string' || !TENANT.test(tenant) || !isNumber)
      return reply
        .code(400)
        .send({ refused: 'write {"tenant": name} for all callers, or {"tenant": name, "from": number}' })
    try {
      const erasure = await store.request({ tenant, from: from as string | undefined })
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
