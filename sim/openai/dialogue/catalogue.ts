// The scripts a simulator knows, and the choice among them. Rules:
// C1: the first script whose `matchTools` are all among the session's tools; else (or when tools are called by the clock)
//     the default, `conversation`.
// C2: a script put in at run time comes before all others of the same kind.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readScript, type Script, type ScriptTurn } from './script.ts'

const SCRIPTS_MAX = 200
const DEFAULT_NAME = 'conversation'

export class Catalogue {
  readonly #scripts: Script[] = []
  #defaultName = DEFAULT_NAME

  /** Reads the scripts that come with the simulator; a broken one throws with all its problems. */
  constructor(extra: readonly Script[] = []) {
    const folder = fileURLToPath(new URL('../scripts/', import.meta.url))
    for (const file of readdirSync(folder).sort()) {
      if (!file.endsWith('.json')) continue
      const read = readScript(JSON.parse(readFileSync(`${folder}${file}`, 'utf8')))
      if (read.kind === 'broken') throw new Error(`${file}: ${read.problems.join('; ')}`)
      this.#scripts.push(read.script)
    }
    for (const script of extra) this.add(script)
  }

  get names(): string[] {
    return this.#scripts.map((script) => script.name)
  }

  /** Turns that can be said at any point of a call: those of the conversation that came with the simulator. */
  get smallTalk(): readonly ScriptTurn[] {
    return (
      this.find(DEFAULT_NAME)
        ?.turns.slice(1)
        .filter(({ say }) => say !== undefined) ?? []
    )
  }

  /** Puts a script first; one of the same name is replaced. A script without tools becomes the default. */
  add(script: Script): void {
    const at = this.#scripts.findIndex(({ name }) => name === script.name)
    if (at >= 0) this.#scripts.splice(at, 1)
    this.#scripts.unshift(script)
    if (this.#scripts.length > SCRIPTS_MAX) this.#scripts.splice(1 + SCRIPTS_MAX / 2, 1)
    if (script.matchTools === undefined) this.#defaultName = script.name
  }

  /** Makes a known script the default; false when there is none of that name. */
  setDefault(name: string): boolean {
    if (this.find(name) === undefined) return false
    this.#defaultName = name
    return true
  }

  find(name: string): Script | undefined {
    return this.#scripts.find((script) => script.name === name)
  }

  /** The script for a session with these tools; `plain` asks for the default one, whatever the tools. */
  choose(toolNames: readonly string[], options: { plain?: boolean } = {}): Script {
    if (options.plain) return this.find(this.#defaultName) ?? this.#scripts[0]!
    const fits = (script: Script) => script.matchTools?.every((name) => toolNames.includes(name)) ?? false
    return this.#scripts.find(fits) ?? this.find(this.#defaultName) ?? this.#scripts[0]!
  }
}
