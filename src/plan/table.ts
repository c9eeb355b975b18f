// A plan as text for a terminal: name, figure, unit, and what it rests on, which goes on below itself when it is long.
import type { PlanInput } from './flags.ts'
import type { Section } from './row.ts'

const NAME_CHARS = 36
const FIGURE_CHARS = 12
const UNIT_CHARS = 16
const BASIS_CHARS = 56
const INDENT_CHARS = 2 + NAME_CHARS + 1 + FIGURE_CHARS + 1 + UNIT_CHARS + 1
/** Below this a probability is never met. */
const NEVER = 1e-12

/** Whole numbers in groups of three; others with three digits that count. */
export function formatFigure(value: number | undefined): string {
  if (value === undefined) return '–'
  if (value === 0) return '0'
  if (value < NEVER) return '< 1e-12'
  if (value < 0.001) return value.toExponential(1)
  if (Number.isInteger(value) || value >= 1_000) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ' ')
  return String(Number(value.toPrecision(3)))
}

/** One pod, two pods; a figure that cannot be said has no unit. */
function unitOf(unit: string, value: number | undefined): string {
  if (value === undefined) return ''
  return value === 1
    ? unit.replace(/^(pod|cell|slot|process|call|core|session|connection|minute|token)e?s(?= |$)/, '$1')
    : unit
}

function wrap(text: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= BASIS_CHARS) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** The whole plan; each line ends in a line feed. */
export function formatTable({ calls, minutes }: PlanInput, sections: readonly Section[]): string {
  const lines = [
    `Plan for ${formatFigure(calls)} ${unitOf('calls', calls)} at once of ${minutes} ${unitOf('minutes', minutes)} each`,
  ]
  for (const { title, rows } of sections) {
    lines.push('', title)
    for (const { name, value, unit, basis } of rows) {
      const [first, ...more] = wrap(basis)
      const figure = `${formatFigure(value).padStart(FIGURE_CHARS)} ${unitOf(unit, value).padEnd(UNIT_CHARS)}`
      lines.push(`  ${name.padEnd(NAME_CHARS)} ${figure} ${first}`)
      for (const line of more) lines.push(' '.repeat(INDENT_CHARS) + line)
    }
  }
  return `${lines.join('\n')}\n`
}
