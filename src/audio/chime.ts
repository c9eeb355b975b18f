// A short sound that says "still here" without words, so in every language: two soft falling tones.
import { encodeUlaw } from './g711.ts'

const RATE_HZ = 8_000
const TONES = [
  { hz: 660, ms: 140 },
  { hz: 520, ms: 220 },
] as const
const AMPLITUDE = 3_000

let made: Buffer | undefined

/** The chime, µ-law 8 kHz, about 0.4 s; made once. */
export function chime(): Buffer {
  made ??= make()
  return made
}

function make(): Buffer {
  const samples: number[] = []
  for (const { hz, ms } of TONES) {
    const count = (ms * RATE_HZ) / 1000
    for (let i = 0; i < count; i += 1) {
      const envelope = Math.sin((Math.PI * i) / count)
      samples.push(Math.round(AMPLITUDE * envelope * Math.sin((2 * Math.PI * hz * i) / RATE_HZ)))
    }
  }
  const ulaw = Buffer.alloc(samples.length)
  encodeUlaw(Int16Array.from(samples), ulaw)
  return ulaw
}
