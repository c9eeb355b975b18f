// Tools that wait for an approval while no code of the agent listens for it. Rules:
// UHA1: such a tool does not run: the model is told at once, in words, that nobody can decide, and tells the caller.
// UHA2: a session whose agents have a tool that may need an approval is warned of when nobody listens, once in a pod for each tool.
import type { RealtimeSession } from '@openai/agents-realtime'
import { messageOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import type { PackAgent } from '../../packs/pack.ts'
import { record } from './wire.ts'

const REQUESTED = 'tool_approval_requested'
const TOLD_MAX = 50
/** [UHA1] */
export const NOBODY_DECIDES =
  'This was not done: it needs an approval, and nobody is there to decide. Tell the caller that it cannot be done in this call.'
const FIX = 'listen for tool_approval_requested in onSession, and call session.approve or session.reject'

type Session = RealtimeSession<unknown>

/** What a pod has been warned of. */
export class UnheardApprovals {
  readonly #told = new Set<string>()

  /** Refuses what nobody decides. To be called before code of the agent gets the session. */
  answerFor(session: Session, log: Log): void {
    session.on(REQUESTED, (_context, _agent, { approvalItem }) => {
      if (hasListener(session)) return
      log.warn({ code: 'APPROVAL_UNHEARD', tool: approvalItem.name, fix: FIX }, 'a tool was refused: nobody decides')
      session
        .reject(approvalItem, { message: NOBODY_DECIDES })
        .catch((error: unknown) =>
          log.error({ reason: messageOf(error) }, 'a tool that nobody decides was not refused'),
        )
    })
  }

  /** [UHA2] Never rejects. */
  async warn(session: Session, agents: readonly PackAgent[], log: Log): Promise<void> {
    if (hasListener(session)) return
    for (const { name: agent, tools } of agents)
      for (const tool of Array.isArray(tools) ? tools : []) {
        if (this.#told.has(tool.name) || this.#told.size >= TOLD_MAX || !(await mayNeedApproval(tool))) continue
        this.#told.add(tool.name)
        const fields = { code: 'APPROVAL_UNHEARD', agent, tool: tool.name, fix: FIX }
        log.warn(fields, 'a tool may need an approval and nobody listens for it: it will be refused')
      }
  }
}

/** Somebody else than we: our listener is one. */
const hasListener = (session: Session): boolean =>
  (session as unknown as { listenerCount(type: string): number }).listenerCount(REQUESTED) > 1

/** A rule that reads the arguments may; one that reads nothing is asked. */
async function mayNeedApproval(tool: PackAgent['tools'][number]): Promise<boolean> {
  const { needsApproval, providerData } = tool as { needsApproval?: unknown; providerData?: unknown }
  if (typeof needsApproval === 'function')
    return needsApproval.length > 0 || (await Promise.resolve(needsApproval()).catch(() => true)) === true
  const required = record(providerData).require_approval
  return required !== undefined && required !== 'never'
}
