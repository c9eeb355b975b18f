// The command line of the project's own tools. Rules:
// TCL1: `--help` prints what a tool does and every argument that it knows, ends it with exit code 0, and does nothing else.
// TCL2: an argument that a tool does not know ends it with exit code 2 before it does anything; the message names it.
import type { ParseArgsConfig } from 'node:util'
import { Arguments } from '../sim/command-line.ts'

type Flags = NonNullable<ParseArgsConfig['options']>

/** The arguments of this process. Ends the process for help, and for what is not known. */
export function readCommandLine<const F extends Flags>(
  usage: string,
  options: F,
  { takesWords = false } = {},
): Arguments<F> {
  const given = new Arguments(process.argv.slice(2), options, { takesWords })
  if (given.wantsHelp) {
    console.log(usage.trimEnd())
    process.exit(0)
  }
  if (given.problems.length === 0) return given
  console.error(given.problems.join('\n'))
  process.exit(2)
}
