// The carrier as the run needs it: a signed webhook, and a signed upgrade of the stream that the answer names.
import { createHmac } from 'node:crypto'
import { request } from 'node:http'

const ANSWER_MAX_MS = 10_000

type Answer = { status: number; body: string }

/** Speaks to `port` of this machine as the carrier that knows `authToken`; what it signs begins with `baseUrl`. */
export class Carrier {
  readonly port: number
  readonly #baseUrl: string
  readonly #authToken: string

  constructor(options: { port: number; baseUrl: string; authToken: string }) {
    this.port = options.port
    this.#baseUrl = options.baseUrl
    this.#authToken = options.authToken
  }

  #sign(url: string, fields: Readonly<Record<string, string>> = {}): string {
    const words = Object.keys(fields)
      .sort()
      .map((name) => `${name}${fields[name]}`)
    return createHmac('sha1', this.#authToken)
      .update(`${url}${words.join('')}`)
      .digest('base64')
  }

  /** A webhook about a call. */
  post(path: string, fields: Readonly<Record<string, string>>): Promise<Answer> {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'x-twilio-signature': this.#sign(this.#baseUrl + path, fields),
    }
    return this.#ask('POST', path, headers, new URLSearchParams(fields).toString())
  }

  /** Opens the stream at `path` and closes it; the status of the answer. */
  upgrade(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const asked = request({
        host: '127.0.0.1',
        port: this.port,
        path,
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'x-twilio-signature': this.#sign(this.#baseUrl.replace(/^http/, 'ws') + path),
        },
        signal: AbortSignal.timeout(ANSWER_MAX_MS),
      })
      asked.on('upgrade', (response, socket) => {
        socket.destroy()
        resolve(response.statusCode ?? 0)
      })
      asked.on('response', (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
      asked.on('error', reject)
      asked.end()
    })
  }

  #ask(method: string, path: string, headers: Record<string, string>, body: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(ANSWER_MAX_MS)
      const asked = request({ host: '127.0.0.1', port: this.port, method, path, headers, signal }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      })
      asked.on('error', reject)
      asked.end(body)
    })
  }
}
