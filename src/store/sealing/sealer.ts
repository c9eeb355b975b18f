// What is encrypted at rest: AES-256-GCM under the operator's keys. Rules:
// SEA1: the first key writes, every key reads; a text that bears no seal is read as it is, so that keys may come later than calls.
// SEA2: a seal belongs to its place (table, column, call): the same bytes elsewhere do not open.
// SEA3: a seal that no key opens is DATA_KEY_MISSING (its key is not here) or DATA_SEAL_BROKEN (the bytes are not what was sealed); neither
//      error bears any of the text.
// SEA4: a number is found by its mark, an HMAC under a key of its own that is derived from each of the keys: it cannot be read back, and
//      is not the same under another key.
// SEA5: each seal has a key of its own, derived from the operator's key and a salt of SALT_BYTES at random (NIST SP 800-108): so many calls as there
//      will ever be stay far from the 2^32 random nonces that one AES-GCM key allows (NIST SP 800-38D §8.3). Seals of the earlier form, under the
//      operator's key itself, are read; `reseal` writes them anew.
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { VoiceError } from '../../kit/errors.ts'

const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const SALT_BYTES = 16
const PREFIX = 'vp2:'
const SEALED = /^vp([12]):([a-z0-9-]{1,32}):([A-Za-z0-9_-]+)$/
const KEY_ID = /^[a-z0-9-]{1,32}$/
/** More keys at once are not a rotation. */
const KEYS_MAX = 8

type Key = { id: string; secret: Buffer; mark: Buffer; seal: Buffer }

/** Reads `id:base64,id:base64`; what is wrong is said without the text, since it is secret. */
export function readDataKeys(text: string): { kind: 'keys'; sealer: Sealer } | { kind: 'bad'; fix: string } {
  const bad = (fix: string) => ({ kind: 'bad' as const, fix })
  const keys: Key[] = []
  const parts = text.split(',').map((part) => part.trim())
  if (parts.length > KEYS_MAX) return bad(`write at most ${KEYS_MAX} keys`)
  for (const part of parts) {
    const [id = '', base64 = '', more] = part.split(':')
    const secret = Buffer.from(base64, 'base64')
    if (more !== undefined || !KEY_ID.test(id) || secret.length !== KEY_BYTES || secret.toString('base64') !== base64)
      return bad(
        'write id:key pairs with commas between; an id of a-z, 0-9 and -, a key of 32 bytes in base64 (openssl rand -base64 32)',
      )
    if (keys.some((key) => key.id === id)) return bad('give each key an id of its own')
    const derive = (info: string) => Buffer.from(hkdfSync('sha256', secret, '', info, KEY_BYTES))
    keys.push({ id, secret, mark: derive('voiceplane mark'), seal: derive('voiceplane seal') })
  }
  return { kind: 'keys', sealer: new Sealer(keys) }
}

export class Sealer {
  readonly #keys: readonly Key[]

  /** At least one key; made by `readDataKeys`. */
  constructor(keys: readonly Key[]) {
    this.#keys = keys
  }

  /** `text` under the first key, for `place` (`table.column call`). [SEA1][SEA2] */
  seal(text: string, place: string): string {
    const { id, seal } = this.#keys[0]!
    const salt = randomBytes(SALT_BYTES)
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', keyOfSeal(seal, salt), iv).setAAD(Buffer.from(place))
    const body = [salt, iv, cipher.update(text, 'utf8'), cipher.final()]
    return `${PREFIX}${id}:${Buffer.concat([...body, cipher.getAuthTag()]).toString('base64url')}`
  }

  /** Throws DATA_KEY_MISSING or DATA_SEAL_BROKEN. [SEA3] */
  open(text: string, place: string): string {
    const [, form, id, base64] = SEALED.exec(text) ?? []
    if (id === undefined || base64 === undefined) return text
    const key = this.#keys.find((one) => one.id === id)
    if (key === undefined) throw new VoiceError('DATA_KEY_MISSING', { message: `DATA_KEYS has no key "${id}"` })
    const bytes = Buffer.from(base64, 'base64url')
    const ivAt = form === '2' ? SALT_BYTES : 0
    if (bytes.length < ivAt + IV_BYTES + TAG_BYTES) throw new VoiceError('DATA_SEAL_BROKEN')
    const secret = form === '2' ? keyOfSeal(key.seal, bytes.subarray(0, SALT_BYTES)) : key.secret
    try {
      const decipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(ivAt, ivAt + IV_BYTES))
      decipher.setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(-TAG_BYTES))
      const body = bytes.subarray(ivAt + IV_BYTES, -TAG_BYTES)
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
    } catch {
      throw new VoiceError('DATA_SEAL_BROKEN')
    }
  }

  /** Whether `text` is under the first key already. */
  isCurrent(text: string): boolean {
    return text.startsWith(`${PREFIX}${this.#keys[0]!.id}:`)
  }

  /** The marks of a number, that of the first key first. [SEA4] */
  marks(number: string): string[] {
    return this.#keys.map(
      ({ id, mark }) => `${id}:${createHmac('sha256', mark).update(normalised(number)).digest('base64url')}`,
    )
  }
}

/** [SEA5] */
function keyOfSeal(seal: Buffer, salt: Buffer): Buffer {
  return createHmac('sha256', seal).update(salt).digest()
}

/** Whether `text` is a seal, of any key. */
export function isSealed(text: string): boolean {
  return SEALED.test(text)
}

/** Opens where no keys are configured: what is sealed cannot be read. */
export function openWithout(text: string): string {
  if (isSealed(text))
    throw new VoiceError('DATA_KEY_MISSING', { message: 'DATA_KEYS is not set, and the database holds sealed data' })
  return text
}

/** `+49 30 123` and `+4930123` are one number; `client:` and `sip:` names stay as they are. */
function normalised(number: string): string {
  return /^[+\d\s().-]+$/.test(number) ? number.replace(/[^+\d]/g, '') : number.trim().toLowerCase()
}
