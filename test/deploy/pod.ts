// A pod as the ingress sees one, in a process of its own so that it can be frozen and killed: health, readiness, webhooks that are
// answered with the pod's address, streams that are echoed. Started by fork(); `{ ready: boolean }` sets its readiness.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'

const [address = '', port = ''] = process.argv.slice(2)
let isReady = true

const server = createServer((request, response) => {
  request.resume()
  if (request.url === '/ready') response.writeHead(isReady ? 200 : 503)
  response.end(address)
})
server.on('upgrade', (request, socket: Socket) => {
  socket.on('error', () => socket.destroy())
  const key = String(request.headers['sec-websocket-key'])
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const signature = request.headers['x-twilio-signature'] ?? ''
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n`)
  socket.write(`sec-websocket-accept: ${accept}\r\nx-pod: ${address}\r\nx-saw: ${signature}\r\n\r\n`)
  socket.pipe(socket)
})
server.listen(Number(port), address, () => process.send?.('listening'))
process.on('message', (message) => {
  isReady = (message as { ready: boolean }).ready
  process.send?.('set')
})
process.on('disconnect', () => process.exit(0))
