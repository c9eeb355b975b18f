// Who may use the admin routes. Rules:
// BRR1: the admin routes ask for the bearer token; without a token configured there are none (404), with a wrong one they say 401.
import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'

/** All routes of `app` ask for `token`. [BRR1] */
export function askBearer(app: FastifyInstance, token: string): void {
  const expected = Buffer.from(`Bearer ${token}`)
  app.addHook('onRequest', async (request, reply) => {
    const given = Buffer.from(request.headers.authorization ?? '')
    const isRight = given.length === expected.length && timingSafeEqual(given, expected)
    if (!isRight) return reply.code(401).header('www-authenticate', 'Bearer').send({ refused: 'the token is wrong' })
  })
}
