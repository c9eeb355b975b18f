// Measures what a session costs the simulator: `node sim/openai/test/cost.ts [sessions] [seconds]`.
// Each session sends 50 µ-law appends a second with speech in turns, and is spoken to about half of the time.
// Prints one JSON line with the simulator's CPU-ms a call-second, read from its own process.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { buzz, silence } from './client.ts'

const FRAME_MS = 20
const TURN_MS = 9_000 // an answer of about 4.5 s, and as long without one
const WARM_MS = 6_000
const sessions = Number(process.argv[2] ?? 100)
const seconds = Number(process.argv[3] ?? 18)

const main = fileURLToPath(new URL('../main.ts', import.meta.url))
const sim = spawn(process.execPath, [main, '--keep-audio-ms', '0', '--probes', '--tool-every-ms', '60000'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const [ready] = (await once(createInterface(sim.stdout), 'line')) as [string]
const { url } = JSON.parse(ready) as { url: string }

const append = (frame: Buffer) =>
  Buffer.from(`{"type":"input_audio_buffer.append","audio":"${frame.toString('base64')}"}`)
const loud = append(buzz(FRAME_MS))
const quiet = append(silence(FRAME_MS))
let deltaBytes = 0
let answers = 0

async function open(): Promise<WebSocket> {
  const socket = new WebSocket(`${url}?model=gpt-realtime-2.1`, {
    headers: { authorization: 'Bearer k' },
    perMessageDeflate: false,
  })
  await once(socket, 'open')
  const format = { type: 'audio/pcmu' }
  socket.send(
    JSON.stringify({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { format }, output: { format } } },
    }),
  )
  socket.on('message', (message: Buffer) => {
    // The type is at the front; nothing is parsed, so that the client leaves the machine to the simulator.
    const head = message.toString('latin1', 9, 40)
    if (head.startsWith('response.output_audio.delta')) deltaBytes += message.length
    else if (head.startsWith('response.done')) answers += 1
  })
  return socket
}

const clients: WebSocket[] = []
for (let i = 0; i < sessions; i++) clients.push(await open())

// Sessions are dealt over the milliseconds of a frame, and over the turn, so that no tick is heavier than another.
const startMs = performance.now()
const frames = new Array<number>(sessions).fill(0)
const pace = setInterval(() => {
  const now = performance.now() - startMs
  for (let i = 0; i < sessions; i++) {
    const due = Math.floor((now - (i % FRAME_MS)) / FRAME_MS)
    for (; frames[i]! < due; frames[i]! += 1) {
      const inTurn = (frames[i]! * FRAME_MS + i * 137) % TURN_MS
      clients[i]!.send(inTurn < 600 ? loud : quiet, { binary: false })
    }
  }
}, 1)

const cpuMs = () => {
  const fields = readFileSync(`/proc/${sim.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}
const rssKb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${sim.pid}/status`, 'utf8'))![1])
await new Promise((resolve) => setTimeout(resolve, WARM_MS))
const before = { cpu: cpuMs(), at: performance.now(), bytes: deltaBytes, answers }
await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
const wallSeconds = (performance.now() - before.at) / 1000
const callSeconds = wallSeconds * sessions
const figures = {
  sessions,
  seconds: Number(wallSeconds.toFixed(1)),
  cpu_ms_per_call_second: Number(((cpuMs() - before.cpu) / callSeconds).toFixed(3)),
  spoken_share: Number((((deltaBytes - before.bytes) * 3) / 4 / 8000 / callSeconds).toFixed(2)),
  answers: answers - before.answers,
  rss_mb: Math.round(rssKb() / 1024),
}
clearInterval(pace)
for (const client of clients) client.terminate()
sim.kill('SIGTERM')
await once(sim, 'exit')
process.stdout.write(`${JSON.stringify(figures)}\n`)
