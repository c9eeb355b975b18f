// The cases command (`npm run cases`): what failed in trials of the product, and the tests that hold each mend. Rules:
// CS1: docs/cases.md is the list. A case has an id, a title, its situation, what is noticed, its rule, and its tests.
// CS2: a case is covered when each file it names exists and has a test whose title cites it (`[P3]`), or when it names the decision
//      that answers it otherwise. A case that is neither fails the command.
// CS3: the tests that cite a case are then run, by name; the exit code is zero only when all cases are covered and all those tests pass.
import './node-version.mjs'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readCommandLine } from './command-line.ts'
import { runTests } from './test.ts'
import { idsCitedIn } from './titles.ts'
import { ROOT } from './tree.ts'

export const CASES_PAGE = 'docs/cases.md'

const FIELDS = ['situation', 'noticed', 'rule'] as const

type Case = {
  id: string
  title: string
  situation: string
  noticed: string
  rule: string
  /** Test files that cite it. */
  tests: string[]
  /** The decision that answers it otherwise. */
  decision: string | undefined
}

const USAGE = `npm run cases [-- [--list] [<id>...]]

Prints the cases of ${CASES_PAGE} with the tests that cite each, fails where a case has none, then runs those tests.

  <id>     only these cases: P3 S2
  --list   print and check, run nothing
  --help   this text`

/** The cases of the page, in its order. A field that is left out is empty. */
export function readCases(text: string): Case[] {
  return text
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const [heading = '', ...lines] = section.split('\n')
      const [, id = '', title = ''] = /^([SOPAL]\d+)\s+(.*)$/.exec(heading) ?? []
      const fields = new Map<string, string>()
      let name = ''
      for (const line of lines) {
        const field = /^- \*\*(\w+):\*\* ?(.*)$/.exec(line)
        if (field !== null) {
          name = field[1]!.toLowerCase()
          fields.set(name, field[2]!.trim())
        } else if (/^\s{2,}\S/.test(line) && name !== '') fields.set(name, `${fields.get(name)} ${line.trim()}`)
        else name = ''
      }
      const value = (field: string) => fields.get(field) ?? ''
      const [situation, noticed, rule] = FIELDS.map(value) as [string, string, string]
      const tests = [...value('tests').matchAll(/`([^`]+)`/g)].map((match) => match[1]!)
      return {
        id,
        title,
        situation,
        noticed,
        rule,
        tests,
        decision: /\((decisions\/[^)]+)\)/.exec(value('decision'))?.[1],
      }
    })
}

/** What is missing of `one` (rule CS2); `readFile` gives undefined for a file that is not there. */
export function findGaps(one: Case, readFile: (path: string) => string | undefined): string[] {
  const gaps = FIELDS.filter((field) => one[field] === '').map((field) => `no ${field}`)
  if (one.id === '') gaps.push('no id')
  if (one.decision !== undefined) {
    if (readFile(`docs/${one.decision}`) === undefined) gaps.push(`docs/${one.decision} does not exist`)
    return gaps
  }
  if (one.tests.length === 0) gaps.push('no test')
  for (const path of one.tests) {
    const text = readFile(path)
    if (text === undefined) gaps.push(`${path} does not exist`)
    else if (!idsCitedIn(text).has(one.id)) gaps.push(`${path} has no test that cites [${one.id}]`)
  }
  return gaps
}

function readFile(path: string): string | undefined {
  const full = join(ROOT, path)
  return existsSync(full) ? readFileSync(full, 'utf8') : undefined
}

/** All cases of the page as it stands. */
export function casesOfTree(): Case[] {
  return readCases(readFile(CASES_PAGE) ?? '')
}

/** The gaps of all `cases`, one line each. */
export function gapsOf(cases: readonly Case[]): string[] {
  const twice = cases.filter(({ id }, at) => cases.findIndex((other) => other.id === id) !== at)
  return [
    ...twice.map(({ id }) => `${id}: stands twice`),
    ...cases.flatMap((one) => findGaps(one, readFile).map((gap) => `${one.id} ${one.title}: ${gap}`)),
  ]
}

async function main(): Promise<number> {
  const { values, words } = readCommandLine(USAGE, { list: { type: 'boolean' } }, { takesWords: true })
  const all = casesOfTree()
  const unknown = words.filter((id) => !all.some((one) => one.id === id))
  if (unknown.length > 0 || all.length === 0) {
    console.error(all.length === 0 ? `${CASES_PAGE} has no case` : `no such case: ${unknown.join(', ')}; see --list`)
    return all.length === 0 ? 1 : 2
  }
  const chosen = words.length === 0 ? all : all.filter(({ id }) => words.includes(id))
  for (const { id, title, tests, decision } of chosen)
    console.log(
      `${id.padEnd(4)} ${title}\n       ${decision === undefined ? tests.join(', ') || '-' : `docs/${decision}`}`,
    )
  const gaps = gapsOf(chosen)
  for (const gap of gaps) console.log(`GAP  ${gap}`)
  let code = gaps.length === 0 ? 0 : 1
  const files = [...new Set(chosen.flatMap(({ tests }) => tests))].filter((path) => readFile(path) !== undefined)
  if (!values.list && files.length > 0) {
    const name = `\\[(${chosen.map(({ id }) => id).join('|')})\\]`
    code = Math.max(code, await runTests(files, name))
  }
  console.log(JSON.stringify({ cases: chosen.length, gaps: gaps.length, files: files.length, pass: code === 0 }))
  return code
}

if (import.meta.main) process.exitCode = await main()
