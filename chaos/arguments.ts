// The command line of the chaos runs. Rules:
// CA1: all problems are reported together, each with its fix; nothing is started when there is one.
import { parseArgs } from 'node:util'

/** `keep`: the folder that keeps the witness logs; none keeps nothing. */
export type ChaosOptions = {
  seed: number
  calls?: number
  pods?: number
  rounds?: number
  seconds?: number
  keep?: string
}

type Asked =
  | { kind: 'run'; name: string; options: ChaosOptions }
  | { kind: 'help' }
  | { kind: 'wrong'; problems: string[] }

const TEXT = { type: 'string' } as const
const FLAGS = {
  seed: TEXT,
  calls: TEXT,
  pods: TEXT,
  rounds: TEXT,
  seconds: TEXT,
  keep: TEXT,
  help: { type: 'boolean' },
} as const
const BOUNDS: Record<string, readonly [min: number, max: number]> = {
  seed: [0, 4_294_967_295],
  calls: [1, 5_000],
  pods: [2, 64],
  rounds: [1, 1_000],
  seconds: [1, 3_600],
}

/** [CA1] Reads the arguments after the program's name; `names` are the runs there are. */
export function readArguments(args: readonly string[], names: readonly string[]): Asked {
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: FLAGS,
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  if (values.help === true || args.length === 0) return { kind: 'help' }
  const problems: string[] = []
  for (const token of tokens) {
    if (token.kind === 'option' && !(token.name in FLAGS)) problems.push(`--${token.name} is unknown: see --help`)
  }
  const whole = (name: string): number | undefined => {
    const value = values[name as keyof typeof values]
    const [min, max] = BOUNDS[name]!
    if (value === undefined) return undefined
    if (typeof value === 'string' && /^\d{1,10}$/.test(value) && Number(value) >= min && Number(value) <= max) {
      return Number(value)
    }
    problems.push(`--${name} must be a whole number from ${min} to ${max}`)
    return undefined
  }
  const [name = ''] = positionals
  if (!names.includes(name)) problems.push(`"${name}" is not a run: use one of ${names.join(', ')}`)
  if (positionals.length > 1) problems.push('name one run at a time')
  if (values.keep !== undefined && (typeof values.keep !== 'string' || values.keep === '')) {
    problems.push('--keep needs the path of a folder')
  }
  const keep = typeof values.keep === 'string' ? values.keep : undefined
  const options = {
    seed: whole('seed') ?? 1,
    calls: whole('calls'),
    pods: whole('pods'),
    rounds: whole('rounds'),
    seconds: whole('seconds'),
    keep,
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'run', name, options }
}
