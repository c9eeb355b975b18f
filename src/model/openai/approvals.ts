// Decisions about tools, in and out of the SDK's run context. The SDK writes them for its own saved runs by methods that it calls
// internal; a release without them carries no decision, and its application is asked again. Rules:
// AP1: a decision goes with the agent it was made under; one whose agent is gone is left out.
// AP2: what the SDK refuses to take back is left out and said: a tool is then asked about again, never run unasked.
import type { CarriedApprovals } from '../../call/agent-state.ts'
import { messageOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import type { PackAgent } from '../../packs/pack.ts'
import type { AgentGraph } from './agent-graph.ts'

type Decisions = { agentIdentity: string; approvals: unknown }
type Bindings = { agentIdentity: string; invocations: unknown; approvals: unknown }
type SavingContext = {
  _toJSONForRunState(identities: { get(agent: PackAgent): string | undefined }): {
    functionApprovals?: Decisions[]
    approvalInvocations?: Bindings[]
  }
  _mergeFunctionApprovals(decisions: readonly Decisions[], agents: ReadonlyMap<string, PackAgent>): void
  _mergeApprovalInvocations(bindings: readonly Bindings[], agents: ReadonlyMap<string, PackAgent>): void
}

/** The decisions that stand. */
export function carryApprovals(context: object, graph: AgentGraph): CarriedApprovals {
  if (!isSaving(context)) return []
  const paths = new Map<string, CarriedApprovals[number]>()
  const identities = {
    get: (agent: PackAgent): string | undefined => {
      const path = graph.pathOf(agent)
      return path === undefined ? undefined : JSON.stringify(path)
    },
  }
  const { functionApprovals = [], approvalInvocations = [] } = context._toJSONForRunState(identities)
  const at = (identity: string): CarriedApprovals[number] => {
    const known = paths.get(identity) ?? { path: JSON.parse(identity) as string[], decisions: {}, bindings: {} }
    paths.set(identity, known)
    return known
  }
  for (const { agentIdentity, approvals } of functionApprovals) at(agentIdentity).decisions = approvals
  for (const { agentIdentity, invocations, approvals } of approvalInvocations)
    at(agentIdentity).bindings = { invocations, approvals }
  return [...paths.values()]
}

/** Puts `carried` into a new context (AP1, AP2). */
export function restoreApprovals(context: object, graph: AgentGraph, carried: CarriedApprovals, log: Log): void {
  if (carried.length === 0) return
  const agents = new Map<string, PackAgent>()
  const decisions: Decisions[] = []
  const bindings: Bindings[] = []
  for (const { path, ...of } of carried) {
    const agent = graph.at(path)
    const agentIdentity = JSON.stringify(path)
    if (agent === undefined) continue
    agents.set(agentIdentity, agent)
    decisions.push({ agentIdentity, approvals: of.decisions })
    const { invocations = {}, approvals = {} } = of.bindings as Partial<Bindings>
    bindings.push({ agentIdentity, invocations, approvals })
  }
  try {
    if (!isSaving(context)) throw new Error('this release of the SDK takes none')
    context._mergeApprovalInvocations(bindings, agents)
    context._mergeFunctionApprovals(decisions, agents)
  } catch (error) {
    log.warn({ reason: messageOf(error) }, 'decisions about tools could not be taken over: they are asked for again')
  }
}

function isSaving(context: object): context is SavingContext {
  return ['_toJSONForRunState', '_mergeFunctionApprovals', '_mergeApprovalInvocations'].every(
    (name) => typeof (context as Record<string, unknown>)[name] === 'function',
  )
}
