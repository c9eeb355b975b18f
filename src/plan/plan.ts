// The role `plan`: arguments in, a table or a JSON object out. Rules:
// PLR1: every figure stands beside the assumption it rests on, in the table as in the JSON; a figure that cannot be said is `null` there
//       and a dash here, with the reason.
import { costSection } from './cost.ts'
import { helpText, type PlanInput, readFlags } from './flags.ts'
import { podSections } from './pods.ts'
import type { Section } from './row.ts'
import { storeSections } from './stores.ts'
import { formatTable } from './table.ts'

/** `wrong`: lines for standard error, each naming its flag. */
type PlanOutput = { kind: 'said'; text: string } | { kind: 'wrong'; text: string }

/** All that is planned for an input. */
export function makePlan(input: PlanInput): Section[] {
  return [...podSections(input), ...storeSections(input), costSection(input)]
}

/** What the role prints for the arguments after `plan`; reads nothing else and never throws. */
export function runPlan(args: readonly string[]): PlanOutput {
  const flags = readFlags(args)
  switch (flags.kind) {
    case 'help':
      return { kind: 'said', text: helpText() }
    case 'wrong':
      return { kind: 'wrong', text: flags.problems.map((problem) => `plan: ${problem}\n`).join('') }
    case 'plan': {
      const sections = makePlan(flags.input)
      const text = flags.isJson ? formatJson(flags.input, sections) : formatTable(flags.input, sections)
      return { kind: 'said', text }
    }
  }
}

function formatJson(input: PlanInput, sections: readonly Section[]): string {
  const plan = sections.map(({ title, rows }) => ({
    title,
    rows: rows.map((one) => ({ ...one, value: one.value ?? null })),
  }))
  return `${JSON.stringify({ input, plan }, undefined, 2)}\n`
}
