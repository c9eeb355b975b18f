// Counts of a call that its record, and so the webhook, tells. Rules:
// FIG1: a figure is a count or an amount, of no person: it is kept unsealed and names nobody.
// FIG2: what the store holds is read once, at its edge: a figure that this version does not know, or that is no number, is left out.
// To add one: its line in CALL_FIGURES, and docs/after-call.md. If the state does not count it yet: state.ts, checkpoint.ts and the step.
import type { CallState } from './state.ts'

export const CALL_FIGURES = {
  bargeIns: (state) => state.bargeIns,
} as const satisfies Readonly<Record<string, (state: CallState) => number>>

/** A figure that is absent was not counted by the version that wrote the record. */
export type CallFigures = Partial<Record<keyof typeof CALL_FIGURES, number>>

const NAMES = Object.keys(CALL_FIGURES) as (keyof typeof CALL_FIGURES)[]

export function figuresOf(state: CallState): CallFigures {
  return Object.fromEntries(NAMES.map((name) => [name, CALL_FIGURES[name](state)]))
}

/** [FIG2] undefined: the record holds no figures. */
export function readFigures(stored: unknown): CallFigures | undefined {
  if (typeof stored !== 'object' || stored === null) return undefined
  const held = new Map<string, unknown>(Object.entries(stored))
  return Object.fromEntries(
    NAMES.filter((name) => Number.isFinite(held.get(name))).map((name) => [name, held.get(name)]),
  )
}
