// Why a call ended, and who ended it: one table, for the machine, the stores, what follows a call, and its receivers. Rules:
// EC1: every end has a cause of END_CAUSES, and each cause says who ended the call.
// EC2: a cause that comes from outside (a row, another version) is read once, at the edge; one that is not here reads as not known.
// To add a cause: its line here, where the machine gives it, and docs/after-call.md.

/** Who ended a call; `plane` also when the model or the agent's code failed. */
export type EndedBy = 'caller' | 'agent' | 'plane' | 'carrier'

export const END_CAUSES = {
  'caller-hung-up': 'caller',
  'carrier-lost': 'carrier',
  'agent-ended': 'agent',
  transferred: 'agent',
  'stream-never-came': 'carrier',
  'media-silent': 'carrier',
  'too-long': 'plane',
  /** The caller said nothing, was asked, and said nothing still. */
  'caller-silent': 'plane',
  /** It has cost what it may. */
  'over-budget': 'plane',
  'model-refused': 'plane',
  'model-lost': 'plane',
  'agent-failed': 'plane',
  /** The caller was owed an answer, and every way to one came to nothing (owed-turn.ts). */
  unanswered: 'plane',
  drained: 'plane',
  /** The caller waited, came to no agent, and left a message or asked to be called back. */
  'queue-overflow': 'plane',
  /** Another pod acts for the call: this one's part is over, the call is not. */
  moved: 'plane',
  'handed-over': 'plane',
} as const satisfies Readonly<Record<string, EndedBy>>

/** Why a call ended. */
export type EndCause = keyof typeof END_CAUSES

/** [EC2] */
export function readEndCause(text: unknown): EndCause | undefined {
  return typeof text === 'string' && Object.hasOwn(END_CAUSES, text) ? (text as EndCause) : undefined
}

/** [EC1] */
export const endedBy = (cause: EndCause): EndedBy => END_CAUSES[cause]
