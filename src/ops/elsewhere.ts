// What a process says of a route of operators that another role serves. Rules:
// ELS1: a 404 of such a route says who serves it, to anybody who asks: it tells nothing of this plane but its role.
import type { FastifyInstance } from 'fastify'

const SERVED_BY = {
  edge: {
    '/admin': 'a pod does not serve /admin: ask a worker (npm run worker), see docs/operators.md',
  },
  worker: {
    '/drain': 'POST /drain is for pods: a worker drains at SIGTERM, see docs/operators.md',
    '/twilio': 'a worker takes no calls: the webhooks of the carrier are for pods',
  },
} as const

/** The 404 of `app`, in words when another role serves the route. [ELS1] */
export function tellElsewhere(app: FastifyInstance, role: keyof typeof SERVED_BY): void {
  const served = Object.entries(SERVED_BY[role])
  app.setNotFoundHandler((request, reply) => {
    const [, where] = served.find(([path]) => request.url === path || request.url.startsWith(`${path}/`)) ?? []
    return reply.code(404).send({ refused: where ?? 'there is no such route' })
  })
}
