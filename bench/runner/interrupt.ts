// What a signal does to a bench or a chaos run. Rules:
// IN1: the first SIGINT or SIGTERM is told, so that what was started is ended in order; a second ends the process at once, and with it
//      every child (child.ts, CH4). No signal has its default effect while a run is up.

/** The exit code of a run that was cut off: 128 and the number of SIGINT. */
export const INTERRUPTED = 130

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** [IN1] Calls `tell` with the first signal. */
export function onInterrupt(tell: (signal: NodeJS.Signals) => void): void {
  let signals = 0
  const onSignal = (signal: NodeJS.Signals): void => {
    signals += 1
    if (signals === 1) tell(signal)
    else process.exit(INTERRUPTED)
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
}
