// What may happen to a tool that was called and has not answered when its pod or socket was lost. Rules:
// TE1: a pack says it by the tool's name (PackCall.toolEffects). `keyed` and `read` run again, under their first key; `once` does not.
// TE2: a tool that nobody speaks for is `once`: an effect that happens twice is worse than one that has to be looked up. A handoff that
//      nobody speaks for runs again: it changes who speaks and nothing outside.
import type { PackAgent, PackCall, ToolEffect } from '../packs/pack.ts'

const AGENTS_MAX = 500

/** [TE1][TE2] The effect of the tool `name` in this call. */
export function effectOf(packCall: Pick<PackCall, 'agent' | 'agents' | 'toolEffects'>, name: string): ToolEffect {
  const { toolEffects = {} } = packCall
  if (Object.hasOwn(toolEffects, name)) return toolEffects[name]!
  return isHandoffOf([packCall.agent, ...(packCall.agents ?? [])], name) ? 'read' : 'once'
}

/** Does the name belong to a handoff of these agents, or of those that they lead to? */
function isHandoffOf(agents: readonly PackAgent[], name: string): boolean {
  const seen = new Set<unknown>(agents)
  for (const one of seen) {
    if (seen.size > AGENTS_MAX) break
    const { handoffs } = one as { handoffs?: unknown }
    for (const handoff of Array.isArray(handoffs) ? handoffs : []) {
      if (nameOfHandoff(handoff) === name) return true
      seen.add(isHandoff(handoff) ? handoff.agent : handoff)
    }
  }
  return false
}

/** The name that the SDK gives the tool of a handoff. */
function nameOfHandoff(handoff: unknown): string | undefined {
  if (isHandoff(handoff)) return handoff.toolName
  const { name } = handoff as { name?: unknown }
  return typeof name === 'string' ? `transfer_to_${name.replace(/[^a-zA-Z0-9]/g, '_')}` : undefined
}

function isHandoff(value: unknown): value is { agent: object; toolName: string } {
  return typeof value === 'object' && value !== null && 'onInvokeHandoff' in value && 'toolName' in value
}
