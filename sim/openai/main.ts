// The simulator as a process: flags in, one ready line out, a clean end on SIGTERM and SIGINT.
import { writeFileSync } from 'node:fs'
import { HELP, readFlags } from './flags.ts'
import { startOpenAiSim } from './sim.ts'

const flags = readFlags(process.argv.slice(2))
if (flags.kind === 'help') process.stdout.write(HELP)
else if (flags.kind === 'wrong') {
  process.stderr.write(`${flags.problems.join('\n')}\nSee --help.\n`)
  process.exitCode = 2
} else {
  const sim = await startOpenAiSim(flags.options).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error
    process.stderr.write(`The port ${flags.options.port} is taken by another program: choose another with --port.\n`)
    process.exit(1)
  })
  const end = () => void sim.close()
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
  // Started by another process with a channel: when that one is gone, so are we.
  process.once('disconnect', end)
  process.channel?.unref()
  const ready = `${JSON.stringify({ port: sim.port, url: sim.url, control: sim.controlUrl })}\n`
  if (flags.readyFile !== undefined) writeFileSync(flags.readyFile, ready)
  process.stdout.write(ready)
}
