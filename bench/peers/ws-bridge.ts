// The same thin bridge as bare-bridge.ts on the `ws` library: what its framing costs above bare sockets.
// The payload text is cut out of one message and put into the other without a parse.
import { createServer } from 'node:http'
import WebSocket, { WebSocketServer } from 'ws'
import { API_KEY, answerVoice, exitOnSignal, MODEL, MODEL_URL, PORT, printReady, SESSION_UPDATE } from './settings.ts'

const PAYLOAD = '"payload":"'
const DELTA = '"delta":"'

function cut(text: string, key: string): string | undefined {
  const at = text.indexOf(key)
  return at < 0 ? undefined : text.slice(at + key.length, text.indexOf('"', at + key.length))
}

function openModel(): WebSocket {
  return new WebSocket(`${MODEL_URL}?model=${MODEL}`, {
    perMessageDeflate: false,
    headers: { authorization: `Bearer ${API_KEY}` },
  })
}

function bridge(carrier: WebSocket): void {
  let streamSid = ''
  let isReady = false
  const model = openModel()
  const greet = (): void => {
    if (isReady && streamSid !== '') model.send('{"type":"response.create"}')
  }
  const onCarrier = (data: Buffer): void => {
    const text = data.toString('latin1')
    if (text.startsWith('{"event":"media"')) {
      const payload = cut(text, PAYLOAD)
      if (payload !== undefined && isReady) model.send(`{"type":"input_audio_buffer.append","audio":"${payload}"}`)
    } else if (text.startsWith('{"event":"start"')) {
      streamSid = (JSON.parse(text) as { streamSid: string }).streamSid
      greet()
    } else if (text.startsWith('{"event":"stop"')) carrier.close()
  }
  const onModel = (data: Buffer): void => {
    const text = data.toString('latin1')
    if (text.startsWith('{"type":"response.output_audio.delta"')) {
      const delta = cut(text, DELTA)
      if (delta === undefined) return
      carrier.send(`{"event":"media","streamSid":"${streamSid}","media":{"payload":"${delta}"}}`)
      carrier.send(`{"event":"mark","streamSid":"${streamSid}","mark":{"name":"d"}}`)
    } else if (text.startsWith('{"type":"input_audio_buffer.speech_started"')) {
      carrier.send(`{"event":"clear","streamSid":"${streamSid}"}`)
    } else if (text.startsWith('{"type":"session.updated"') && !isReady) {
      isReady = true
      greet()
    }
  }
  carrier.on('message', onCarrier)
  model.on('open', () => model.send(SESSION_UPDATE))
  model.on('message', onModel)
  model.on('error', () => carrier.close())
  carrier.on('error', () => model.close())
  model.on('close', () => carrier.close())
  carrier.on('close', () => model.close())
}

const server = createServer(answerVoice)
const sockets = new WebSocketServer({ server, perMessageDeflate: false, skipUTF8Validation: true })
sockets.on('connection', bridge)
server.listen(PORT, '127.0.0.1', () => printReady((server.address() as { port: number }).port))
exitOnSignal()
