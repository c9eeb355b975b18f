// The bytes of a call on the wire, counted from the messages themselves. Rules:
// WY1: a message is written out as it travels, with names and ids as long as real ones, and its bytes are counted, not estimated.
// WY2: every direction bears 50 frames of 20 ms a second for as long as the call lasts: nobody is ever silent, so it is an upper bound.
// WY3: each message adds its WebSocket head (4 bytes, and a mask of 4 from a client) and the heads of IPv4 and TCP; the model's leg is
//      TLS as well. Acknowledgements, marks and events are not counted.

export const FRAMES_PER_SECOND = 50
const WEBSOCKET_HEAD_BYTES = 4 // 126 to 65 535 bytes of payload
const MASK_BYTES = 4
const TCP_IP_BYTES = 52 // 20 of IPv4, 32 of TCP with its timestamps
const TLS_RECORD_BYTES = 22 // TLS 1.3: 5 of head, 1 of type, 16 of tag
const STREAM_SID = `MZ${'0'.repeat(32)}`
const ID = '0'.repeat(22)

export type ModelAudio = 'pcmu' | 'pcm16'

/** Raw bytes of one frame of 20 ms. */
const RAW_BYTES: Readonly<Record<ModelAudio, number>> = { pcmu: 160, pcm16: 960 }

/** One direction of one leg. `messageBytes`: the JSON text; `wireBytes`: with all heads. */
type Direction = { name: string; messageBytes: number; wireBytes: number }

const base64Of = (bytes: number): string => 'A'.repeat(4 * Math.ceil(bytes / 3))

function direction(name: string, message: string, isMasked: boolean, isTls: boolean): Direction {
  const heads = WEBSOCKET_HEAD_BYTES + (isMasked ? MASK_BYTES : 0) + TCP_IP_BYTES + (isTls ? TLS_RECORD_BYTES : 0)
  return { name, messageBytes: message.length, wireBytes: message.length + heads }
}

/** The four directions of a call, each with one message for one frame. The carrier speaks µ-law; `audio` is the model's. */
export function directionsOf(audio: ModelAudio): readonly Direction[] {
  const frame = base64Of(RAW_BYTES.pcmu)
  const modelFrame = base64Of(RAW_BYTES[audio])
  // Six digits of sequence and chunk, eight of milliseconds: a call of some hours.
  const heard = `{"event":"media","sequenceNumber":"100000","streamSid":"${STREAM_SID}","media":{"track":"inbound","chunk":"100000","timestamp":"10000000","payload":"${frame}"}}`
  const said = `{"event":"media","streamSid":"${STREAM_SID}","media":{"payload":"${frame}"}}`
  const append = `{"type":"input_audio_buffer.append","audio":"${modelFrame}"}`
  const delta = `{"type":"response.output_audio.delta","event_id":"event_${ID}","response_id":"resp_${ID}","item_id":"item_${ID}","output_index":0,"content_index":0,"delta":"${modelFrame}"}`
  return [
    direction('carrier to pod', heard, true, false),
    direction('pod to carrier', said, false, false),
    direction('pod to model', append, true, true),
    direction('model to pod', delta, false, true),
  ]
}

/** Bits per second of one call, all directions together or those that match. */
export function bitsPerSecond(directions: readonly Direction[]): number {
  return directions.reduce((sum, one) => sum + one.wireBytes * FRAMES_PER_SECOND * 8, 0)
}
