// The command line of every program outside src/ (src/ has one of its own, of the planner: it imports nothing from here). Rules:
// CLI1: all that is wrong is told together, each problem by the name of its flag; what is read stays usable, so that reading goes on.
// CLI2: `--help` and `-h` are known everywhere, and count also beside what is wrong.
import { type ParseArgsConfig, parseArgs } from 'node:util'

const HELP = { help: { type: 'boolean', short: 'h' } } as const

type Flags = NonNullable<ParseArgsConfig['options']>
type Values<F extends Flags> = ReturnType<
  typeof parseArgs<{ options: F; strict: true; allowPositionals: true }>
>['values']

/** The arguments of a program. Each reading adds its problem. */
export class Arguments<const F extends Flags> {
  readonly problems: string[] = []
  readonly wantsHelp: boolean
  /** What is no flag. */
  readonly words: readonly string[]
  /** The values as their flags say; to be trusted once `problems` is empty. */
  readonly values: Values<F>

  /** `args` are those after the program's name; `takesWords`: some are no flags. */
  constructor(args: readonly string[], flags: F, { takesWords = false } = {}) {
    const options: Flags = { ...flags, ...HELP }
    const read = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true })
    this.values = read.values as Values<F>
    this.words = read.positionals
    this.wantsHelp = read.values.help === true || args.includes('--help') || args.includes('-h')
    for (const token of read.tokens) {
      if (token.kind !== 'option') continue
      const flag = Object.hasOwn(options, token.name) ? options[token.name] : undefined
      if (flag === undefined) this.problems.push(`${token.rawName} is unknown: see --help`)
      else if (flag.type === 'string' && !token.value) this.problems.push(`--${token.name} needs a value`)
      else if (flag.type === 'boolean' && token.value !== undefined)
        this.problems.push(`--${token.name} takes no value`)
    }
    if (!takesWords) for (const word of this.words) this.problems.push(`"${word}" is not an option: see --help`)
  }

  isSet(name: keyof F & string): boolean {
    return this.#of(name) === true
  }

  text(name: keyof F & string): string | undefined {
    const value = this.#of(name)
    return typeof value === 'string' && value !== '' ? value : undefined
  }

  list(name: keyof F & string): string[] {
    const values = this.#of(name)
    return Array.isArray(values) ? values.filter((value) => typeof value === 'string' && value !== '') : []
  }

  /** A whole number; undefined when the flag is not given or, with a problem, is none. */
  whole(name: keyof F & string, min: number, max: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    if (/^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text)
    this.problems.push(`--${name} "${text}" must be a whole number from ${min} to ${max}`)
    return undefined
  }

  /** A number that is not below `min`; undefined as for `whole`. */
  number(name: keyof F & string, min: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (Number.isFinite(value) && value >= min) return value
    this.problems.push(`--${name} "${text}" must be a number of at least ${min}`)
    return undefined
  }

  #of(name: string): unknown {
    return (this.values as Record<string, unknown>)[name]
  }
}
