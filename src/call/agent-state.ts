// What of a call's agent must outlive its pod: it lives in objects of the agents SDK, and is read from them whenever a checkpoint
// is written. Rules:
// AS1: all of it is JSON; what of an agent is not (sockets, functions, objects of a class) is made anew by the pack in the next pod.

/** The way to an agent from the one the call began with: names along the handoffs (model/openai/agent-graph.ts). */
export type AgentPath = readonly string[]

/** The JSON part of a context: whole values, parts of mixed objects, and keys that the call has removed (carried-context.ts). */
export type CarriedContext = {
  values: Record<string, unknown>
  parts: Record<string, CarriedContext>
  removed: readonly string[]
}

/** Decisions about tools, as the SDK writes them, for each agent. */
export type CarriedApprovals = { path: AgentPath; decisions: unknown; bindings: unknown }[]

export type AgentState = {
  /** The agent in charge; empty: the one the call began with. */
  inCharge: AgentPath
  /** The voice that has spoken (provider's name, or its object); undefined until then. */
  voice: unknown
  /** What code has changed of the session's configuration, as it goes on the wire. */
  session: Record<string, unknown>
  context: CarriedContext
  approvals: CarriedApprovals
}

export const NO_CONTEXT: CarriedContext = { values: {}, parts: {}, removed: [] }
export const NEW_AGENT: AgentState = { inCharge: [], voice: undefined, session: {}, context: NO_CONTEXT, approvals: [] }
