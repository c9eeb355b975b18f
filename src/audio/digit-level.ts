// How loud a µ-law sample is, told by one digit of its base64: the first digit of four holds the upper six bits of a sample. So a frame
// is judged where it lies, and nothing is decoded or allocated.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/**
 * By the code of the first digit of four: the magnitude of the sample that begins there, in 16-bit units, rounded down to what six
 * bits tell. µ-law is sent inverted (G.711). Any other character counts as silence.
 */
export const MAGNITUDE_OF_DIGIT = new Uint16Array(256)
for (const [bits, digit] of [...DIGITS].entries()) {
  const segment = (~bits >> 2) & 0x07
  const mantissa = (~bits & 0x03) << 2
  MAGNITUDE_OF_DIGIT[digit.charCodeAt(0)] = (((mantissa << 3) + 0x84) << segment) - 0x84
}
