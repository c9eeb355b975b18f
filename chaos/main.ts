// The chaos runs: `npm run chaos -- <name>`. Progress on standard error; one JSON line last on standard output. Rules:
// CM1: the exit code is 0 only when every check of the run passed; 2 for wrong arguments.
// CM2: an interrupted or broken run ends what it started and says what broke.
import { INTERRUPTED, onInterrupt } from '../bench/runner/interrupt.ts'
import { describeMachine } from '../bench/runner/machine.ts'
import { readArguments } from './arguments.ts'
import { CASES } from './cases/cases.ts'
import { ChaosRun, type Outcome } from './run.ts'

const HELP = `Usage: npm run chaos -- <name> [--seed N] [--calls N] [--pods N] [--rounds N] [--seconds N] [--keep DIR]

${Object.entries(CASES)
  .map(([name, { text, faults }]) => `  ${name.padEnd(12)} ${faults.padEnd(16)} ${text}`)
  .join('\n')}

  --seed     the schedule of faults; the same seed, the same schedule (1)
  --calls    calls at once (drain, after-call: in all); --pods pods; --rounds faults one after the other: each run has its own defaults
  --seconds  how long each attack of a siege goes on (60)
  --keep     keep the witness logs in this folder

A run starts real pods behind HAProxy with Redis and Postgres, simulated carrier and model, and judges by the logs of these
witnesses. Exit code 0 when all its checks hold.
`

async function main(): Promise<number> {
  const asked = readArguments(process.argv.slice(2), Object.keys(CASES))
  if (asked.kind === 'help') {
    process.stdout.write(HELP)
    return 0
  }
  if (asked.kind === 'wrong') {
    process.stderr.write(`${asked.problems.map((problem) => `chaos: ${problem}`).join('\n')}\n`)
    return 2
  }
  const { name, options } = asked
  const run = await ChaosRun.start(name, options)
  onInterrupt((signal) => {
    run.note(`interrupted by ${signal}: ending what was started`)
    void run.close().finally(() => process.exit(INTERRUPTED))
  })
  try {
    const outcome = await CASES[name]!.run(run)
    return report(run, name, outcome)
  } catch (error) {
    process.stderr.write(`chaos: ${name} broke: ${(error as Error).message}\n`)
    return 1
  } finally {
    await run.close()
  }
}

/** [CM1] */
function report(run: ChaosRun, name: string, outcome: Outcome): number {
  const pass = outcome.checks.every((check) => check.pass)
  for (const { name: what, value, limit, pass: holds } of outcome.checks) {
    run.note(`${holds ? 'holds ' : 'FAILS '} ${what}: ${value ?? 'not measured'} (wanted ${limit})`)
  }
  const { seed } = run.asked
  const line = { run: name, faults: CASES[name]!.faults, seed, pass, ...outcome, machine: describeMachine() }
  process.stdout.write(`${JSON.stringify(line)}\n`)
  return pass ? 0 : 1
}

process.exitCode = await main()
