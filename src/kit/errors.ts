// Errors that leave a room. Rules:
// ER1: an expected outcome is a value; a VoiceError is a bug or a lost dependency.
// ER2: each code is listed here and in docs/errors.md (a test compares both ways); a code is never reused.

/** Every error code of the plane with what it means to the operator. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'The configuration has problems; all of them are listed with their fix.',
  SOCKET_REFUSED: 'The peer answered the WebSocket upgrade with something else than 101.',
  SOCKET_LOST: 'A socket ended without a close handshake.',
  SOCKET_PROTOCOL: 'The peer broke RFC 6455.',
  SOCKET_FAULT: 'A message could not be handled, which is a bug of ours; its own connection was closed.',
  SOCKET_OVERFLOW: 'More bytes wait to be sent than the bound allows; the peer does not read.',
  MODEL_REFUSED: 'The model provider refused the session for good (key, model, quota).',
  MODEL_LOST: 'The link to the model ended while the call was live.',
  MODEL_SETTING_REFUSED: 'The model refused a setting of the agent; the call goes on without it.',
  MODEL_EVENT_UNREADABLE: 'The agent’s session could not read an event of the model; the call goes on without it.',
  MODEL_STALLED: 'The model did not answer within its bound.',
  TURN_UNANSWERED: 'A caller was owed an answer and every way to one came to nothing.',
  TOOL_UNKNOWN: 'The model called a tool that no agent has; it was told so.',
  TOOL_ARGUMENTS_BROKEN: 'The model called a tool with arguments that are no JSON object; it was told so.',
  APPROVAL_UNHEARD: 'A tool needs an approval and nobody listens for it; the model is told that it was refused.',
  TOOL_TIMEOUT: 'A tool did not answer within its bound; the model was told so.',
  MODEL_SHED: 'The model was not dialled: its pool refuses too much of what is asked, and no other has room.',
  AGENT_FAILED: 'The agent module threw or could not be loaded.',
  TOKEN_INVALID: 'A stream token is forged, expired, used, or for another call.',
  WEBHOOK_REFUSED: 'A webhook bore no valid signature, or its body or Call SID could not be read.',
  WEBHOOK_OVERLOAD: 'More webhooks at once than the bound; the carrier was told to try elsewhere.',
  WEBHOOK_FAILED: 'Answering a webhook threw; the caller heard an apology.',
  STORE_UNAVAILABLE: 'A store did not answer within its bound; what became of the request is unknown.',
  LEASE_LOST: 'This pod no longer holds the call: another one acts for it.',
  POD_FENCED: 'This pod could not renew its leases for too long and has given up its calls.',
  CALL_CONTROL_STALLED: 'Call control did not answer a webhook within its bound.',
  MIGRATION_MISSING: 'The tables of the database are older than this program needs.',
  DATA_KEY_MISSING: 'Data is sealed under a key that DATA_KEYS does not have.',
  DATA_SEAL_BROKEN: 'Sealed data does not open: it was changed, or moved to another place.',
  CALLER_WITHHELD: 'The number identifies nobody: it is a withheld one, or no number in E.164.',
  CALL_UNKNOWN: 'The records have no row of the call: its opening was not written.',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** An error with a stable code. `retryable` says whether the caller may try again. */
export class VoiceError extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean
  constructor(code: ErrorCode, options: { message?: string; retryable?: boolean; cause?: unknown } = {}) {
    super(options.message ?? ERROR_CODES[code], options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'VoiceError'
    this.code = code
    this.retryable = options.retryable ?? false
  }
}

/** Ends a switch over a union: a new member without a case fails to compile. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}

/** What kind of error was thrown and where, without its message: that may quote what somebody said. */
export function whereOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  const place = /\n\s+at (?:.* \()?(?:file:\/\/)?([^()\n]+)\)?/.exec(error.stack ?? '')?.[1]
  return place === undefined ? error.name : `${error.name} at ${place.split('/').slice(-3).join('/')}`
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
