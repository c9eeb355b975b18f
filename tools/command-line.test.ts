// Every script of package.json and every other program with arguments: what `--help` and an unknown argument do.
import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { FLAGS, HELP } from '../sim/openai/flags.ts'
import { runChild } from './child.ts'
import { listFiles, ROOT } from './tree.ts'

const RUN_MAX_MS = 60_000

type Command = { title: string; words: string[] }

const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
/** What npm runs before another script is called by nobody. */
const called = Object.entries(scripts).filter(([name]) => !(name.startsWith('pre') && name.slice(3) in scripts))
const SCRIPTS: Command[] = called.map(([title, text]) => ({ title: `npm run ${title}`, words: text.split(' ') }))
/** Programs that a person calls and that are no script. */
const OTHERS: Command[] = ['tools/setup.ts', 'sim/twilio/main.ts'].map((file) => ({
  title: file,
  words: ['node', file],
}))
/** Programs of others: their words for what they do not know are their own. */
const isOurs = ({ words }: Command) => words[0] === 'node'

async function run({ words: [program = '', ...words] }: Command, ...args: string[]) {
  const PATH = `${join(ROOT, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}`
  const { end, lines } = await runChild(program === 'node' ? process.execPath : program, [...words, ...args], {
    cwd: ROOT,
    // A role that started all the same would find no configuration that it could start with.
    env: { PATH, HOME: process.env.HOME, NO_COLOR: '1', PORT: 'none' },
    maxMs: RUN_MAX_MS,
    output: 'keep',
  })
  return { code: end.kind === 'exited' ? end.code : end.kind, said: lines.join('\n') }
}

/** Each file of the tree with when it was changed. */
const tree = (): string[] => listFiles().map((path) => `${path} ${statSync(join(ROOT, path)).mtimeMs}`)

/** What a newcomer never sees: the trace of a fault. */
const TRACE = /^\s+at .*:\d+:\d+/m

for (const command of [...SCRIPTS, ...OTHERS]) {
  test(`[P67] ${command.title}: --help says how it is called, what it does not know is named, and nothing is changed`, async () => {
    const before = tree()
    // A path that begins no test file is a word too.
    const words = isOurs(command) ? ['--no-such-flag', 'no-such-word'] : []
    const [help, ...refused] = await Promise.all(['--help', ...words].map((word) => run(command, word)))
    assert.equal(help!.code, 0, help!.said)
    assert.match(help!.said, /--help|Usage/i)
    assert.doesNotMatch(help!.said, TRACE)
    for (const [at, { code, said }] of refused.entries()) {
      assert.equal(code, 2, said)
      assert.ok(said.includes(words[at]!), said)
      assert.doesNotMatch(said, TRACE)
    }
    assert.deepEqual(tree(), before)
  })
}

test('[P67] the help of the offline model names what it is and each of its flags', () => {
  assert.match(HELP, /^The offline model: a simulator of the OpenAI Realtime API/)
  for (const flag of Object.keys(FLAGS)) assert.match(HELP, new RegExp(`^  --${flag}\\b`, 'm'))
})
