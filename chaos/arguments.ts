// The command line of the chaos runs. Rules:
// CA1: all problems are reported together, each with its fix; nothing is started when there is one.
import { Arguments } from '../sim/command-line.ts'

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
} as const
const BOUNDS = {
  seed: [0, 4_294_967_295],
  calls: [1, 5_000],
  pods: [2, 64],
  rounds: [1, 1_000],
  seconds: [1, 3_600],
} as const satisfies Record<string, readonly [min: number, max: number]>

/** [CA1] Reads the arguments after the program's name; `names` are the runs there are. */
export function readArguments(args: readonly string[], names: readonly string[]): Asked {
  const given = new Arguments(args, FLAGS, { takesWords: true })
  if (given.wantsHelp || args.length === 0) return { kind: 'help' }
  const { problems, words } = given
  const whole = (name: keyof typeof BOUNDS) => given.whole(name, BOUNDS[name][0], BOUNDS[name][1])
  const [name = ''] = words
  if (!names.includes(name)) problems.push(`"${name}" is not a run: use one of ${names.join(', ')}`)
  if (words.length > 1) problems.push('name one run at a time')
  const options = {
    seed: whole('seed') ?? 1,
    calls: whole('calls'),
    pods: whole('pods'),
    rounds: whole('rounds'),
    seconds: whole('seconds'),
    keep: given.text('keep'),
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'run', name, options }
}
