// Dialogue scripts: what the simulated model says and which tools it calls, turn by turn. Rules:
// D1: turn 0 is the greeting; each later turn answers one turn of the caller.
// D2: `say` and `thenSay`, and strings inside a call's arguments, may hold {{path|fallback}}: read from the JSON output
//     of the last function call; without that path the fallback stands, or nothing.
// D3: a script is checked when it is read; all its problems are reported at once.

/** One turn. With `call`, `say` is spoken before the call and `thenSay` after its output has come. */
export type ScriptTurn = {
  /** What the caller is expected to have said; the simulator cannot hear words, so this becomes the transcript. */
  expectCaller?: string
  say?: string
  /** With `server`: a tool of that MCP server, which answers `output`. */
  call?: { name: string; arguments: Record<string, unknown>; server?: string; output?: string }
  thenSay?: string
}

export type Script = { name: string; matchTools?: string[]; turns: ScriptTurn[]; loop?: boolean }

const TURNS_MAX = 1_000

/** Checks a parsed JSON value; the script, or all that is wrong with it. */
export function readScript(
  value: unknown,
): { kind: 'script'; script: Script } | { kind: 'broken'; problems: string[] } {
  const problems: string[] = []
  const script = value as Partial<Script> | null
  if (typeof script !== 'object' || script === null) return { kind: 'broken', problems: ['a script is an object'] }
  if (typeof script.name !== 'string' || script.name === '') problems.push('`name` must be a non-empty string')
  if (script.matchTools !== undefined && !isTextList(script.matchTools)) problems.push('`matchTools` must list names')
  if (script.loop !== undefined && typeof script.loop !== 'boolean') problems.push('`loop` must be true or false')
  const turns: unknown = script.turns
  if (!Array.isArray(turns) || turns.length === 0) problems.push('`turns` must be a non-empty list')
  else if (turns.length > TURNS_MAX) problems.push(`\`turns\` may hold at most ${TURNS_MAX}`)
  else for (const [i, turn] of turns.entries()) problems.push(...turnProblems(turn as Partial<ScriptTurn> | null, i))
  return problems.length > 0 ? { kind: 'broken', problems } : { kind: 'script', script: script as Script }
}

function turnProblems(turn: Partial<ScriptTurn> | null, i: number): string[] {
  if (typeof turn !== 'object' || turn === null) return [`turn ${i} must be an object`]
  const problems: string[] = []
  for (const name of ['expectCaller', 'say', 'thenSay'] as const) {
    if (turn[name] !== undefined && typeof turn[name] !== 'string')
      problems.push(`turn ${i}: \`${name}\` must be a string`)
  }
  if (turn.say === undefined && turn.call === undefined) problems.push(`turn ${i} needs \`say\` or \`call\``)
  if (turn.call !== undefined && (typeof turn.call?.name !== 'string' || typeof turn.call.arguments !== 'object')) {
    problems.push(`turn ${i}: \`call\` needs a name and arguments`)
  }
  for (const name of ['server', 'output'] as const) {
    const value: unknown = turn.call?.[name]
    if (value !== undefined && typeof value !== 'string') problems.push(`turn ${i}: \`call.${name}\` must be a string`)
  }
  return problems
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

/** Fills {{path|fallback}} from `values`. */
export function fill(template: string, values: unknown): string {
  return template.replace(
    /\{\{\s*([^{}|]*?)\s*(?:\|([^{}]*))?\}\}/g,
    (_, path: string, fallback: string | undefined) => {
      const found = path.split('.').reduce<unknown>((at, key) => (isIndexable(at) ? at[key] : undefined), values)
      const isPlain = typeof found === 'string' || typeof found === 'number' || typeof found === 'boolean'
      return isPlain ? String(found) : (fallback ?? '').trim()
    },
  )
}

/** Fills every string inside a JSON value. */
export function fillDeep(value: unknown, values: unknown): unknown {
  if (typeof value === 'string') return fill(value, values)
  if (Array.isArray(value)) return value.map((entry) => fillDeep(entry, values))
  if (!isIndexable(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, fillDeep(entry, values)]))
}

function isIndexable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
