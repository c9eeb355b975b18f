// Tools of a remote MCP server, which the provider itself lists and calls. Rules:
// MC1: a server of the session's tools is listed once, when it is first configured: an item of type mcp_list_tools, its tools with
//      its `done`. Its tools are those that the script calls there.
// MC2: a call is an item mcp_call. Where the server requires approval, the response ends with an mcp_approval_request instead, and
//      the call follows the client's mcp_approval_response; a refused one never runs.
// MC3: the call runs after its response is done; the client asks for the answer.
import type { Problem } from '../kit/checks.ts'
import type { WitnessFields } from '../kit/witness.ts'
import type { Item } from './conversation.ts'
import type { EventSink } from './response-host.ts'

/** An MCP server as a client configures it. */
export type McpTool = { type: 'mcp'; server_label?: string; require_approval?: unknown; allowed_tools?: unknown }
/** A call that the model makes; `output` is what the server answers. */
type McpCall = { server: string; name: string; argumentsJson: string; output: string; needsApproval: boolean }

const LIST_MS = 60
const RUN_MS = 80
const PENDING_MAX = 100

/** What the servers need of their session. */
type McpHost = EventSink & {
  after(ms: number, run: () => void): void
  addItem(item: Item): string | null
  /** The model has the output now. */
  heard(output: string): void
  note(event: string, fields: WitnessFields): void
}

export class McpServers {
  readonly #host: McpHost
  readonly #listed = new Set<string>()
  readonly #pending = new Map<string, McpCall>()

  constructor(host: McpHost) {
    this.#host = host
  }

  /** MC1. `toolsOf` gives the names that a server has. */
  configured(tools: readonly McpTool[], toolsOf: (server: string) => string[]): void {
    for (const { server_label: server = '' } of tools) {
      if (server === '' || this.#listed.has(server)) continue
      this.#listed.add(server)
      const item: Item = this.#item('mcp_list_tools', { server_label: server, tools: [] })
      const previous_item_id = this.#host.addItem(item)
      this.#send('conversation.item.added', { previous_item_id, item: { ...item } })
      this.#send('mcp_list_tools.in_progress', { item_id: item.id })
      this.#host.after(LIST_MS, () => {
        const input_schema = { type: 'object', properties: {} }
        Object.assign(item, { tools: toolsOf(server).map((name) => ({ name, description: name, input_schema })) })
        this.#send('mcp_list_tools.completed', { item_id: item.id })
        this.#send('conversation.item.done', { previous_item_id, item })
        this.#host.note('mcp_listed', { server })
      })
    }
  }

  /** MC2, MC3: what a response puts out for a call; call `run` when the response is done. */
  call(call: McpCall, responseId: string, outputIndex: number): { item: Item; run: () => void } {
    const at = { response_id: responseId, output_index: outputIndex }
    const { server, name, argumentsJson } = call
    if (call.needsApproval) {
      const item = this.#item('mcp_approval_request', { server_label: server, name, arguments: argumentsJson })
      const previous_item_id = this.#host.addItem(item)
      this.#send('response.output_item.added', { ...at, item })
      this.#send('conversation.item.added', { previous_item_id, item })
      this.#send('response.output_item.done', { ...at, item })
      this.#send('conversation.item.done', { previous_item_id, item })
      if (this.#pending.size < PENDING_MAX) this.#pending.set(item.id, call)
      this.#host.note('mcp_approval_asked', { server, name })
      return { item, run: () => undefined }
    }
    return this.#open(call, at, null)
  }

  /** The client's word on a request; what is wrong with it, if something is. */
  decide(requestId: unknown, isApproved: boolean): Problem | undefined {
    const call = typeof requestId === 'string' ? this.#pending.get(requestId) : undefined
    if (call === undefined) {
      const message = `There is no approval request with the ID '${String(requestId)}'.`
      return { code: 'invalid_value', message, param: 'item.approval_request_id' }
    }
    this.#pending.delete(requestId as string)
    this.#host.note('mcp_decided', { server: call.server, name: call.name, approved: isApproved })
    if (isApproved) this.#open(call, { output_index: 0 }, requestId as string).run()
    else this.#host.heard('')
    return undefined
  }

  #open(call: McpCall, at: object, approvalRequestId: string | null): { item: Item; run: () => void } {
    const { server, name, argumentsJson, output } = call
    const fields = { server_label: server, name, arguments: argumentsJson, approval_request_id: approvalRequestId }
    const item = this.#item('mcp_call', { ...fields, output: null, error: null })
    const previous_item_id = this.#host.addItem(item)
    const place = { ...at, item_id: item.id }
    this.#send('response.output_item.added', { ...at, item: { ...item } })
    this.#send('conversation.item.added', { previous_item_id, item: { ...item } })
    this.#send('response.mcp_call_arguments.delta', { ...place, delta: argumentsJson, obfuscation: '' })
    this.#send('response.mcp_call_arguments.done', { ...place, arguments: argumentsJson })
    this.#send('response.mcp_call.in_progress', place)
    const run = () =>
      this.#host.after(RUN_MS, () => {
        Object.assign(item, { output })
        this.#host.heard(output)
        this.#host.note('mcp_called', { server, name })
        this.#send('response.mcp_call.completed', place)
        this.#send('response.output_item.done', { ...at, item })
        this.#send('conversation.item.done', { previous_item_id, item })
      })
    return { item, run }
  }

  #item(type: string, fields: object): Item {
    return { id: this.#host.ids.next('item'), object: 'realtime.item', type, ...fields }
  }

  #send(type: string, fields: object): void {
    this.#host.send({ type, event_id: this.#host.ids.next('event'), ...fields })
  }
}

/** Does this server ask before it runs the tool? Of the forms that the provider knows: `always`, `never`, or lists of names. */
export function needsApproval({ require_approval: rule = 'always' }: McpTool, name: string): boolean {
  if (typeof rule === 'string') return rule !== 'never'
  const { never, always } = (rule ?? {}) as Record<'never' | 'always', { tool_names?: string[] } | undefined>
  if (never?.tool_names?.includes(name) === true) return false
  return always?.tool_names === undefined || always.tool_names.includes(name)
}
