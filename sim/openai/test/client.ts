// A plain client for the simulator's own tests: keeps every event, waits for the next of a kind.
import { WebSocket } from 'ws'

/** A server event as the tests read it. */
export type Seen = { type: string; event_id: string } & Record<string, ReturnType<typeof JSON.parse>>

const WAIT_MS = 5_000
const FRAME_BYTES = 160

export type TestClient = Awaited<ReturnType<typeof connect>>

/** Opens a session, or rejects with the HTTP status and body of the refusal. */
export async function connect(url: string, options: { model?: string; headers?: Record<string, string> } = {}) {
  const headers = options.headers ?? { authorization: 'Bearer test-key' }
  const socket = new WebSocket(`${url}?model=${options.model ?? 'gpt-realtime-2.1'}`, {
    headers,
    perMessageDeflate: false,
  })
  const events: Seen[] = []
  const waiters = new Set<() => void>()
  let read = 0
  socket.on('message', (text: Buffer) => {
    events.push(JSON.parse(text.toString()) as Seen)
    for (const wake of waiters) wake()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  await opened(socket)

  const take = (type: string, fits: (event: Seen) => boolean): Seen | undefined => {
    for (let i = read; i < events.length; i++) {
      if (events[i]!.type !== type || !fits(events[i]!)) continue
      read = i + 1
      return events[i]
    }
    return undefined
  }
  /** The next event of a type after the last one that was waited for. */
  const next = (type: string, fits: (event: Seen) => boolean = () => true): Promise<Seen> =>
    new Promise((resolve, reject) => {
      const look = () => {
        const event = take(type, fits)
        if (event === undefined) return
        clearTimeout(timer)
        waiters.delete(look)
        resolve(event)
      }
      const kinds = () => events.slice(read).map((event) => event.type)
      const timer = setTimeout(() => {
        waiters.delete(look)
        reject(new Error(`no ${type} came; since the last: ${kinds().join(', ')}`))
      }, WAIT_MS)
      waiters.add(look)
      look()
    })
  const send = (event: object): void => socket.send(JSON.stringify(event))
  const append = (audio: Buffer): void => send({ type: 'input_audio_buffer.append', audio: audio.toString('base64') })
  return {
    socket,
    events,
    closed,
    next,
    send,
    append,
    /** Sends µ-law audio at once, in 20 ms frames: the simulator's clock is the audio's. */
    pour(audio: Buffer): void {
      for (let at = 0; at < audio.length; at += FRAME_BYTES) append(audio.subarray(at, at + FRAME_BYTES))
    },
    /** Sets µ-law both ways, and what else is given. */
    async configure(session: object = {}, input: object = {}): Promise<Seen> {
      const format = { type: 'audio/pcmu' }
      send({
        type: 'session.update',
        session: { type: 'realtime', audio: { input: { format, ...input }, output: { format } }, ...session },
      })
      return next('session.updated')
    },
    async close(): Promise<void> {
      socket.close()
      await closed
    },
  }
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve())
    socket.once('error', reject)
    socket.once('unexpected-response', (_, response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      response.on('end', () =>
        reject(Object.assign(new Error(`HTTP ${response.statusCode}`), { status: response.statusCode, body })),
      )
    })
  })
}

/** Sound that wakes the voice activity detection: a buzz of `ms`, as µ-law. */
export function buzz(ms: number): Buffer {
  return Buffer.alloc(ms * 8, Buffer.concat([Buffer.alloc(16, 0x20), Buffer.alloc(16, 0xa0)]))
}

/** Silence of `ms`, as µ-law. */
export function silence(ms: number): Buffer {
  return Buffer.alloc(ms * 8, 0xff)
}
