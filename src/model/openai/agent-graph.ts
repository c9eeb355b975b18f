// The agents of a call and a name for each that means the same in every pod. Rules:
// AG1: an agent is named by its way from the agent the call began with: the names along the handoffs, shortest way first. The second
//      of one name under one agent is `Name#2`. Agents that no handoff reaches may be offered beside (PackCall.agents).
// AG2: a way that leads nowhere any more (another release of the module) means the one agent of its last name, if there is one.
// AG3: at most AGENTS_MAX agents are looked at; one beyond them has no way.
import type { RealtimeAgent } from '@openai/agents-realtime'
import type { AgentPath } from '../../call/agent-state.ts'

export const AGENTS_MAX = 500
/** Begins the way of an agent that is offered beside: no agent's name is empty. */
const BESIDE = ''

type Agent = RealtimeAgent<unknown>
type Place = { agent: Agent; path: AgentPath }

/** The agents that `start` and `beside` lead to. Handoffs may be added at any time: each question looks anew. */
export class AgentGraph {
  readonly #start: Agent
  readonly #beside: readonly Agent[]

  constructor(start: Agent, beside: readonly Agent[] = []) {
    this.#start = start
    this.#beside = beside
  }

  /** Is there any agent but the first? */
  get hasMany(): boolean {
    return this.#beside.length > 0 || agentsBehind(this.#start).some((agent) => agent !== this.#start)
  }

  /** All of them, the first first (AG3). */
  agents(): Agent[] {
    return this.#places().map(({ agent }) => agent)
  }

  /** The way to `agent`; undefined when there is none. */
  pathOf(agent: Agent): AgentPath | undefined {
    if (agent === this.#start) return []
    return this.#places().find((place) => place.agent === agent)?.path
  }

  /** The agent at the end of `path` (AG2). */
  at(path: AgentPath): Agent | undefined {
    if (path.length === 0) return this.#start
    const places = this.#places()
    const exact = places.find((place) => isSamePath(place.path, path))
    if (exact !== undefined) return exact.agent
    const named = places.filter(({ agent }) => agent.name === nameIn(path.at(-1)!))
    return named.length === 1 ? named[0]!.agent : undefined
  }

  /** Every agent with its way, the nearest first. */
  #places(): Place[] {
    const places: Place[] = [{ agent: this.#start, path: [] }]
    const seen = new Set<Agent>([this.#start])
    const add = (agents: readonly Agent[], under: AgentPath): void => {
      const counts = new Map<string, number>()
      for (const agent of agents) {
        const nth = (counts.get(agent.name) ?? 0) + 1
        counts.set(agent.name, nth)
        if (seen.has(agent) || seen.size >= AGENTS_MAX) continue
        seen.add(agent)
        places.push({ agent, path: [...under, nth === 1 ? plain(agent.name) : `${plain(agent.name)}#${nth}`] })
      }
    }
    for (let i = 0; i < places.length; i += 1) {
      add(agentsBehind(places[i]!.agent), places[i]!.path)
      if (i === places.length - 1) add(this.#beside, [BESIDE])
    }
    return places
  }
}

function agentsBehind(agent: Agent): Agent[] {
  const handoffs = Array.isArray(agent.handoffs) ? (agent.handoffs as unknown[]) : []
  const agents = handoffs.map((handoff) => (isHandoff(handoff) ? handoff.agent : handoff) as Agent)
  return [...new Set(agents.filter((one) => typeof one?.name === 'string'))]
}

function isHandoff(value: unknown): value is { agent: unknown } {
  return typeof value === 'object' && value !== null && 'onInvokeHandoff' in value && 'agent' in value
}

function isSamePath(one: AgentPath, other: AgentPath): boolean {
  return one.length === other.length && one.every((name, i) => name === other[i])
}

/** A name without the sign that counts. */
function plain(name: string): string {
  return name.replace(/[%#]/g, encodeURIComponent)
}

function nameIn(element: string): string {
  return element.replace(/#\d+$/, '').replace(/%2[35]/g, decodeURIComponent)
}
