// The load generator: arguments in, calls out, a report at the end. `npm run load -- --help`.
// LM1: a started run always ends in a report, also when it is interrupted.
// LM2: when started by another Node process with a channel, each progress is sent there too (the benches wait for live calls).
import { randomInt } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Conductor, type ConductorResult, countProcesses } from './conductor.ts'
import { HELP, type LoadOptions, parseOptions } from './options.ts'
import { progressOn } from './progress.ts'
import { formatPage } from './report/page.ts'
import { type LoadReport, makeReport } from './report/report.ts'
import { formatTable } from './report/table.ts'
import { joinBargeIns, readClears, readModelWitness } from './report/witness.ts'

const WITNESS_SETTLE_MS = 400

async function main(): Promise<number> {
  const parsed = parseOptions(process.argv.slice(2), process.env)
  if (parsed.kind === 'help') {
    process.stdout.write(HELP)
    return 0
  }
  if (parsed.kind === 'wrong') {
    process.stderr.write(`${parsed.problems.map((problem) => `load: ${problem}`).join('\n')}\n`)
    return 2
  }
  return run(parsed.options)
}

async function run(options: LoadOptions): Promise<number> {
  const isKept = options.witnessDir !== undefined
  const witnessDir = options.witnessDir ?? (await mkdtemp(join(tmpdir(), 'voiceplane-load-')))
  await mkdir(witnessDir, { recursive: true })
  const startedAt = new Date().toISOString()
  try {
    const conductor = new Conductor(options, witnessDir)
    const interruptions = catchInterrupts(conductor)
    const progress = progressOn(process.stderr)
    progress.waitFor('starting the callers; the first time their speech is made, which takes some seconds')
    const processes = countProcesses(options, availableParallelism())
    // Call numbers are joined between logs, so two runs against one model simulator must not share them.
    const firstNumber = randomInt(1, 2_000_000_000)
    const result = await conductor.run(processes, firstNumber, (state) => {
      progress.show(state)
      if (process.connected) process.send?.({ kind: 'progress', ...state }, () => undefined)
    })
    progress.end()
    const report = await reportOf(options, startedAt, result, interruptions.count > 0)
    await publish(options, report)
    return report.isClean ? 0 : 1
  } catch (error) {
    process.stderr.write(`load: ${(error as Error).message}\n`)
    return 1
  } finally {
    process.removeAllListeners('disconnect')
    if (!isKept) await rm(witnessDir, { recursive: true, force: true })
  }
}

/** [LM1] The first Ctrl-C hangs up, the second kills. A parent's `hang-up` message counts as a Ctrl-C that is no interruption. */
function catchInterrupts(conductor: Conductor): { count: number } {
  const interruptions = { count: 0 }
  const interrupt = (): void => {
    interruptions.count++
    if (interruptions.count === 1) conductor.hangUp()
    else conductor.kill()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  process.on('message', (message: { kind?: string }) => {
    if (message.kind === 'hang-up') conductor.hangUp()
  })
  process.on('disconnect', interrupt)
  return interruptions
}

async function reportOf(
  options: LoadOptions,
  startedAt: string,
  result: ConductorResult,
  wasInterrupted: boolean,
): Promise<LoadReport> {
  const { calls, errors, offered, timeline, processes, startUs } = result
  let model: Awaited<ReturnType<typeof readModelWitness>> | undefined
  let reactionsMs: number[] | undefined
  if (options.modelWitnesses.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, WITNESS_SETTLE_MS))
    model = await readModelWitness(options.modelWitnesses, new Set(calls.map((call) => call.number)), startUs)
    reactionsMs = joinBargeIns(model.speechStarted, await readClears(result.witnessPaths))
  }
  const { urls, ratePerSecond, arrivals, holdS, seed } = options
  const scenarios = options.scenarios.map(({ name, weight }) => (weight === 1 ? name : `${name}=${weight}`)).join(',')
  const machine = { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism(), node: process.version }
  return makeReport(
    { urls, calls: options.calls, ratePerSecond, arrivals, holdS, scenarios, seed },
    machine,
    startedAt,
    { offered, placed: calls.length, calls, errors, reactionsMs, model, timeline, processes, wasInterrupted },
  )
}

async function publish(options: LoadOptions, report: LoadReport): Promise<void> {
  if (options.jsonFile !== undefined) await writeFile(options.jsonFile, `${JSON.stringify(report, null, 2)}\n`)
  if (options.htmlFile !== undefined) await writeFile(options.htmlFile, formatPage(report))
  for (const error of report.errors) process.stderr.write(`load: ${error}\n`)
  if (report.wasInterrupted) process.stdout.write('Interrupted: the figures are of what had happened until then.\n\n')
  process.stdout.write(formatTable(report.figures, report.failures))
}

process.exitCode = await main()
if (process.connected) process.disconnect()
