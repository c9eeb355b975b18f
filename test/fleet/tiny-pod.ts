// A pod as small as can be, in a process of its own, so that it can be killed and frozen: answers with its name, echoes frames.
// Paths of the test's own: GET /test/drain makes /ready and /twilio/voice answer 503; /test/stuck makes /healthz do so; /test/heard says how often each path was asked; POST
// /twilio/hang on the pod named by ?on= never answers, nor does /twilio/status there; /twilio/die ends its process, /twilio/fail is 500.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { WebSocketServer } from 'ws'

const [name = 'pod', port = '0'] = process.argv.slice(2)
const phase = { isDraining: false, isStuck: false }

const heard: Record<string, number> = {}

const server = createServer((request, response) => {
  const path = request.url ?? ''
  heard[path] = (heard[path] ?? 0) + 1
  request.resume().on('end', () => answer(request, response))
})

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://pod')
  const isMeant = searchParams.get('on') === name
  if ((pathname === '/twilio/hang' || pathname === '/twilio/status') && isMeant) return
  if (pathname === '/twilio/die' && isMeant) process.kill(process.pid, 'SIGKILL')
  if (pathname === '/test/drain') phase.isDraining = true
  if (pathname === '/test/stuck') phase.isStuck = true
  if (pathname === '/test/heard') {
    response.end(JSON.stringify(heard))
    return
  }
  const isRefused =
    (phase.isDraining && (pathname === '/ready' || pathname === '/twilio/voice')) ||
    (phase.isStuck && pathname === '/healthz')
  const isFailing = pathname === '/twilio/fail' && isMeant
  response.writeHead(isRefused ? 503 : isFailing ? 500 : 200, {
    'content-type': 'application/json',
    'retry-after': '5',
  })
  response.end(JSON.stringify({ pod: name, url: request.url, headers: request.headers }))
}

const sockets = new WebSocketServer({ server })
sockets.on('headers', (headers) => headers.push(`X-Pod: ${name}`))
sockets.on('connection', (socket, request) => {
  socket.send(JSON.stringify(request.headers))
  socket.on('message', (message) => socket.send(`${name}:${String(message)}`))
})
server.listen(Number(port), '127.0.0.1')
