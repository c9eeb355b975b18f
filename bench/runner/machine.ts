// The machine a figure was made on; it stands beside every figure, since figures of two machines do not compare.
import { availableParallelism, cpus, totalmem } from 'node:os'

type Machine = { cpu: string; cores: number; memoryMb: number; node: string; platform: string }

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryMb: Math.round(totalmem() / 1_048_576),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
  }
}
