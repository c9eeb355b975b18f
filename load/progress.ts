// Progress on standard error: a bar on a terminal, a line each LINE_EVERY_MS elsewhere.
import type { Progress } from './conductor.ts'

const LINE_EVERY_MS = 2_000
/** What takes no longer than this is not announced. */
const QUIET_MS = 2_000
const BAR_WIDTH = 24

/** One line for a run's state; the bar shows finished calls, then live ones. */
export function formatProgress(progress: Progress, hasBar: boolean): string {
  const { offered, live, done, failed, dropped, total, latenessMs, elapsedS } = progress
  const counts = `${elapsedS.toFixed(0).padStart(4)} s  offered ${offered}/${total}  live ${live}  done ${done}  failed ${failed}  dropped ${dropped}  late p99 ${latenessMs.toFixed(1)} ms`
  if (!hasBar) return counts
  const filled = Math.round((done / total) * BAR_WIDTH)
  const shaded = Math.min(BAR_WIDTH - filled, Math.round((live / total) * BAR_WIDTH))
  return `▕${'█'.repeat(filled)}${'▒'.repeat(shaded)}${' '.repeat(BAR_WIDTH - filled - shaded)}▏${counts}`
}

type ShownProgress = {
  show: (progress: Progress) => void
  /** Says `what` is being waited for, once QUIET_MS have passed without progress. */
  waitFor: (what: string) => void
  /** Ends the bar's line. */
  end: () => void
}

/** Shows progress on `out`. */
export function progressOn(out: NodeJS.WriteStream): ShownProgress {
  let waiting: NodeJS.Timeout | undefined
  let shownAt = 0
  let isOpen = false
  return {
    waitFor: (what) => {
      waiting = setTimeout(() => out.write(`load: ${what}\n`), QUIET_MS)
      waiting.unref()
    },
    show: (progress) => {
      clearTimeout(waiting)
      const now = performance.now()
      if (out.isTTY) {
        out.write(`\r\x1b[2K${formatProgress(progress, true).slice(0, out.columns - 1)}`)
        isOpen = true
      } else if (now - shownAt >= LINE_EVERY_MS) {
        shownAt = now
        out.write(`${formatProgress(progress, false)}\n`)
      }
    },
    end: () => {
      clearTimeout(waiting)
      if (isOpen) out.write('\n')
      isOpen = false
    },
  }
}
