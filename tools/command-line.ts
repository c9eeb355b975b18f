// The command line of the project's own tools. Rules:
// TCL1: `--help` prints what a tool does and every argument that it knows, ends it with exit code 0, and does nothing else.
// TCL2: an argument that a tool does not know ends it with exit code 2 before it does anything; the message names it.
import { type ParseArgsConfig, parseArgs } from 'node:util'

const HELP = { help: { type: 'boolean', short: 'h' } } as const

/** The arguments of this process by `config`, without `--help`. Ends the process for help, and for what is not known. */
export function readCommandLine<const T extends Pick<ParseArgsConfig, 'options' | 'allowPositionals'>>(
  usage: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  // A typo beside --help gets the help too.
  if (process.argv.slice(2).some((arg) => arg === '--help' || arg === '-h')) {
    console.log(usage.trimEnd())
    process.exit(0)
  }
  try {
    return parseArgs<T>({ ...config, options: { ...config.options, ...HELP } } as T)
  } catch (error) {
    const [problem] = (error as Error).message.split('. ')
    console.error(`${problem}; see --help`)
    process.exit(2)
  }
}
