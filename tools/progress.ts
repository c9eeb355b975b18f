// One progress line on standard error for a step that takes seconds. Rules:
// P1: on a terminal the line is redrawn each second; elsewhere a new line comes only each QUIET_EVERY_MS, so that a log stays short.
// P2: the line always carries the elapsed time and what is being done now.

const REDRAW_EVERY_MS = 1_000
const QUIET_EVERY_MS = 10_000
/** Characters of the current activity shown. */
const DETAIL_CHARACTERS_MAX = 70

type Progress = {
  /** Sets what is being done now. */
  now(detail: string): void
  /** Ends the line with its outcome. */
  done(outcome: string): void
}

/** Starts a progress line titled `title`; `out` is standard error unless a test hands in another. */
export function startProgress(
  title: string,
  out: { write(text: string): unknown; isTTY?: boolean } = process.stderr,
): Progress {
  const startedMs = performance.now()
  let detail = ''
  const seconds = () => Math.round((performance.now() - startedMs) / 1000)
  const text = () => `${title}: ${seconds()} s${detail === '' ? '' : `, ${detail.slice(0, DETAIL_CHARACTERS_MAX)}`}`
  const draw = () => out.write(out.isTTY ? `\r\u001b[2K${text()}` : `${text()}\n`)
  draw()
  const timer = setInterval(draw, out.isTTY ? REDRAW_EVERY_MS : QUIET_EVERY_MS)
  timer.unref()
  return {
    now: (next) => {
      detail = next.trim()
    },
    done: (outcome) => {
      clearInterval(timer)
      out.write(`${out.isTTY ? '\r\u001b[2K' : ''}${title}: ${outcome} after ${seconds()} s\n`)
    },
  }
}
