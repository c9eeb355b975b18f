// How agent modules load, and how they fail: files, line numbers, options, and the copies of the SDK.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { RealtimeAgent } from '@openai/agents-realtime'
import { build } from 'esbuild'
import type { PackCall } from '../../src/packs/pack.ts'
import { type LoadOptions, loadUserAgent } from '../../src/packs/user-agent.ts'
import { keepingLog, type LogLine } from '../plane.ts'
import { Rehearsal, recordingCall } from './rehearsal.ts'

const root = await mkdtemp(join(tmpdir(), 'voiceplane-loading-'))
after(() => rm(root, { recursive: true, force: true }))
const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url))
await symlink(MODULES, join(root, 'node_modules'))

const HEAD = "import { RealtimeAgent } from '@openai/agents/realtime'\n"
const AGENT = "new RealtimeAgent({ name: 'Desk', instructions: 'Be brief.' })"
const ONE = `${HEAD}export const agent = ${AGENT}\n`

let folders = 0
/** Writes files into a folder of their own; the first is the entry, whose path it gives. */
async function project(files: Record<string, string>): Promise<string> {
  folders += 1
  const folder = join(root, `p${folders}`)
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return join(folder, Object.keys(files)[0]!)
}

async function refusal(run: Promise<unknown>): Promise<string> {
  const outcome = await run.then(
    () => 'was accepted',
    (error: Error) => error.message,
  )
  assert.notEqual(outcome, 'was accepted')
  return outcome
}

const refused = async (files: Record<string, string>, options?: LoadOptions): Promise<string> =>
  refusal(loadUserAgent(await project(files), options))

async function opened(files: Record<string, string>, options?: LoadOptions): Promise<PackCall> {
  return (await loadUserAgent(await project(files), options)).openCall(recordingCall())
}

test('[A1] the example of all exports in docs/agents.md loads without a warning, and each export is obeyed', async () => {
  const page = await readFile(new URL('../../docs/agents.md', import.meta.url), 'utf8')
  const source = /```ts\n(\/\/ all-exports\.ts\n[\s\S]*?)```/.exec(page)?.[1]
  assert.ok(source !== undefined)
  const lines: LogLine[] = []
  const pack = await loadUserAgent(await project({ 'agent.ts': source }), { log: keepingLog(lines) })
  const call = await pack.openCall(recordingCall())
  assert.deepEqual(lines, [])
  assert.equal(pack.modelAudio, 'pcmu')
  const { greeting, voice, toolEffects, outputGuardrails, onSession } = call
  assert.deepEqual(
    [greeting, voice, toolEffects, outputGuardrails?.length, typeof onSession],
    [{ kind: 'agent', instructions: 'Say hello and offer a table.' }, 'marin', { book: 'once' }, 1, 'function'],
  )
})

describe('what does not load is said with file and line', () => {
  test('[DEPLOY-2][A1] [A8] an error of the syntax, of an import and of the code name the place in the author’s file', async () => {
    const syntax = await refused({ 'agent.ts': 'const one = 1\nexport default {{\n' })
    assert.match(syntax, /agent\.ts could not be loaded: .* at \/.*agent\.ts:2:\d+/)
    const missing = await refused({ 'agent.ts': `${HEAD}import { a } from './desk/absent'\nexport const agent = a` })
    assert.match(missing, /Could not resolve "\.\/desk\/absent" at \/.*agent\.ts:2:\d+/)
    const thrown = await refused({
      'agent.ts': `import { check } from './lib/check'\nexport const agent = check()`,
      'lib/check.ts': `enum Kind { A }\n\nexport function check(): never {\n  throw new TypeError('no prompt for ' + Kind.A)\n}\n`,
    })
    assert.match(thrown, /TypeError: no prompt for 0 at \/.*lib\/check\.ts:4:\d+/)
    const absent = await refused({ 'agent.ts': "import 'no-such-package'\nexport default 1" })
    assert.match(absent, /could not be loaded: .*no-such-package.* at \/.*agent\.ts:1:8$/)
  })

  test('[A8] an import that does not hold is told at the line that imports, never at a file of the plane', async () => {
    const misspelt = await refused({
      'agent.ts':
        "// A desk.\nimport { RealtimeAgnet, tool } from '@openai/agents/realtime'\nexport const agent = [RealtimeAgnet, tool]",
    })
    assert.match(misspelt, /an export named 'RealtimeAgnet' at \/.*agent\.ts:2:10$/)
    const inside = await refused({
      'agent.ts': "import { a } from './lib/a'\nexport const agent = a",
      'lib/a.ts': "import { z } from 'zod'\n\nimport axios from 'no-such-package'\nexport const a = [z, axios]",
    })
    assert.match(inside, /no-such-package.* at \/.*lib\/a\.ts:3:19$/)
    const unnamed = await refused({
      'agent.ts': "import {\n  WebSocket,\n  absent$ as b,\n} from 'ws'\nexport const agent = [WebSocket, b]",
    })
    assert.match(unnamed, /absent\$.* at \/.*agent\.ts:3:3$/)
  })

  test('[A8] what almost has a meaning is warned about by name, with the nearest that has one', async () => {
    const lines: LogLine[] = []
    const pack = await loadUserAgent(
      await project({
        'agent.ts': `${HEAD}export const agent = new RealtimeAgent({
  name: 'Desk', // tool: is a comment
  instructions: 'Use tool: x.',
  handoffs: [new RealtimeAgent({ name: 'Other', 'voices': 'marin' })],
  tool: [{ name: 'inside' }],
})
export const greting = 'Hello'
export const notes = 'Hello'
export const toolEffects = { bok: 'once' }`,
      }),
      { log: keepingLog(lines) },
    )
    await pack.openCall(recordingCall())
    const told: Record<string, unknown>[] = lines.map((line) => ({
      ...line,
      place: String(line.place ?? '').replace(/.*\//, ''),
    }))
    assert.deepEqual(
      told.map(({ level, export: name, option, tool, nearest, place }) => [
        level,
        name ?? option ?? tool,
        nearest,
        place,
      ]),
      [
        ['warn', 'tool', 'tools', 'agent.ts:6:3'],
        ['warn', 'voices', 'voice', 'agent.ts:5:49'],
        ['warn', 'greting', 'greeting', ''],
        ['warn', 'bok', undefined, ''],
      ],
    )
  })

  test('[A8] an agent that is written as the SDK wants it is loaded without a warning', async () => {
    const lines: LogLine[] = []
    const source = `import { RealtimeAgent, tool } from '@openai/agents/realtime'
import { z } from 'zod'
const instructions = 'Be brief.'
const book = tool({ name: 'book', description: 'Books.', parameters: z.object({ day: z.string() }), execute: async () => 'ok' })
export const agent = new RealtimeAgent<{ a: 1 }>({ name: \`Desk \${'{'}\`, instructions, tools: [book], handoffs: [] })
export const toolEffects = { book: 'once' }
export const greetingText = 'Hello'`
    const pack = await loadUserAgent(await project({ 'agent.ts': source }), { log: keepingLog(lines) })
    await pack.openCall(recordingCall())
    assert.deepEqual(lines, [])
  })

  test('[A1] a name that its file does not export is an error where it is used as a value, and none where it is a type', async () => {
    const message = await refused({
      'agent.ts': `${HEAD}import { greet } from './words'\nexport const agent = ${AGENT.replace("'Be brief.'", 'greet()')}`,
      'words.ts': 'export const greeting = 1',
    })
    assert.match(message, /"greet".* at \/.*agent\.ts:\d+:\d+/)
  })

  test('[A8] what is thrown without being an Error is shown', async () => {
    assert.match(
      await refused({ 'agent.ts': "throw 'no key'" }),
      /could not be loaded: it threw 'no key', which is no Error/,
    )
    assert.match(
      await refused({ 'agent.ts': 'await Promise.reject({ code: 7 })' }),
      /it threw \{ code: 7 \}, which is no Error/,
    )
    assert.match(await refused({ 'agent.ts': 'await Promise.reject(undefined)' }), /it threw undefined/)
    const pack = await loadUserAgent(
      await project({ 'agent.ts': "export const createAgent = () => { throw 'no line' }" }),
    )
    assert.match(
      await refusal(Promise.resolve(pack.openCall(recordingCall()))),
      /`createAgent` threw: it threw 'no line'/,
    )
  })

  test('[A8] a module that ends the process while it loads is refused, also when it catches that', async () => {
    const before = process.exit
    const plain = await refused({ 'agent.ts': `const key = undefined\nif (!key) process.exit(3)\n${ONE}` })
    assert.match(
      plain,
      /agent\.ts ends the process while it loads: process\.exit\(3\) was called at \/.*agent\.ts:2:\d+\. Throw an Error/,
    )
    const caught = await refused({
      'agent.ts': `${HEAD}try { process.exit() } catch {}\nexport const agent = ${AGENT}`,
    })
    assert.match(caught, /process\.exit\(\) was called/)
    assert.equal(process.exit, before)
  })

  test('[DEPLOY-2][A8] a top-level await that never ends is refused after its bound, by the whole program too', async () => {
    const files = { 'agent.ts': `await new Promise(() => {})\n${ONE}` }
    assert.match(
      await refused(files, { loadMs: 200 }),
      /was not loaded after 0\.2 s: a top-level await does not end.*AGENT_LOAD_MS/,
    )
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
    const env = {
      AGENT_MODULE: await project(files),
      AGENT_LOAD_MS: '300',
      PORT: '0',
      OPENAI_API_KEY: 'a-key-for-tests',
    }
    const run = promisify(execFile)(process.execPath, [main, 'edge'], { env, timeout: 60_000 })
    const ended = await run.then(
      () => assert.fail('it started'),
      (error: { code: number; stderr: string }) => error,
    )
    assert.equal(ended.code, 78)
    assert.match(ended.stderr, /Voiceplane could not start: .*a top-level await does not end/)
  })

  test('[A8] several agents, a session, and a misspelt name are told apart, each with its fix', async () => {
    const two = `${HEAD}export const sales = ${AGENT}\nexport const billing = ${AGENT}`
    assert.match(
      await refused({ 'agent.ts': two }),
      /exports several agents: billing, sales\. Export the one .* `getStartingAgent`/,
    )
    const session = `${HEAD}import { RealtimeSession } from '@openai/agents/realtime'
      const desk = ${AGENT}\nexport const session = new RealtimeSession(desk, { transport: 'websocket' })`
    assert.match(
      await refused({ 'agent.ts': session }),
      /exports a RealtimeSession as `session`.*`onSession\(session\)`/,
    )
    assert.match(
      await refused({ 'agent.ts': 'export const makeAgnt = 1\nexport const agnet = 1' }),
      /Did you mean `agent`\?/,
    )
  })
})

describe('options', () => {
  const withOptions = (options: string, more = '') => ({
    'agent.ts': `${ONE}export const options = ${options}\n${more}`,
  })

  test('[A3] every option of a session is obeyed or refused by its name with the reason', async () => {
    const call = await opened(
      withOptions(`{
        model: 'gpt-realtime-mini', transport: 'websocket', historyStoreAudio: false, tracingDisabled: true, context: { a: 1 },
        outputGuardrails: [{ name: 'g', execute: async () => ({ tripwireTriggered: false, outputInfo: {} }) }],
        outputGuardrailSettings: { debounceTextLength: 10 }, config: { toolChoice: 'auto' },
        toolExecution: { preApprovalInputGuardrails: true }, toolErrorFormatter: () => 'no', automaticallyTriggerResponseForMcpToolCalls: false,
      }`),
    )
    assert.deepEqual([call.model, call.automaticallyTriggerResponseForMcpToolCalls], ['gpt-realtime-mini', false])
    assert.deepEqual([call.outputGuardrails?.length, call.outputGuardrailSettings], [1, { debounceTextLength: 10 }])
    assert.deepEqual(
      [call.toolExecution, typeof call.toolErrorFormatter],
      [{ preApprovalInputGuardrails: true }, 'function'],
    )
    const cases: [string, RegExp][] = [
      ["{ apiKey: 'sk-1' }", /`options\.apiKey` cannot be used: .*OPENAI_API_KEY/],
      ["{ transport: 'webrtc' }", /`options\.transport` cannot be used: the plane is the transport/],
      ['{ historyStoreAudio: true }', /`options\.historyStoreAudio` cannot be used: audio does not pass/],
      ['{ tracingDisabled: false }', /`options\.tracingDisabled` cannot be used: the SDK's tracing is off/],
      ["{ workflowName: 'w', groupId: 'g' }", /`options\.workflowName` cannot .*; `options\.groupId` cannot/],
      ['{ outputGuardrials: [] }', /`options\.outputGuardrials` is unknown\. Did you mean `outputGuardrails`\?/],
      ['{ guardrails: [] }', /`options\.guardrails` is unknown\. Did you mean `outputGuardrails`\?/],
      ['{ outputGuardrails: [{ execute() {} }] }', /`options\.outputGuardrails` is not a list of guardrails/],
      ['{ zebra: 1 }', /`options\.zebra` is unknown\. Known are: apiKey, transport/],
      [
        '{ config: { turn_detection: null } }',
        /`options\.config\.turn_detection` is unknown\. Did you mean `turnDetection`\?/,
      ],
      ["{ config: { instructions: 'x' } }", /`options\.config\.instructions` has no effect in the SDK/],
      [
        "{ config: { inputAudioFormat: 'pcm16' } }",
        /`options\.config\.inputAudioFormat` asks for "pcm16", and calls use audio\/pcmu.*modelAudio/,
      ],
      ['{ config: { audio: { input: { vad: 1 } } } }', /`options\.config\.audio\.input\.vad` is unknown/],
      ["{ config: { modalities: ['text'] } }", /callers would hear nothing/],
    ]
    for (const [options, expected] of cases) assert.match(await refused(withOptions(options)), expected)
    assert.match(await refused(withOptions("{ model: 'm' }"), { canChooseModel: false }), /AZURE_OPENAI_DEPLOYMENT/)
  })

  test('[A3] `default { agent, options }` has its options, and an unknown key beside them is refused', async () => {
    const guard = "{ name: 'g', execute: async () => ({ tripwireTriggered: false, outputInfo: {} }) }"
    const call = await opened({
      'agent.ts': `${HEAD}export default { agent: ${AGENT}, options: { outputGuardrails: [${guard}] } }`,
    })
    assert.equal(call.outputGuardrails?.[0]?.name, 'g')
    assert.match(
      await refused({ 'agent.ts': `${HEAD}export default { agent: ${AGENT}, guardrails: [${guard}] }` }),
      /default\.guardrails` is unknown\. Did you mean `outputGuardrails`\?/,
    )
    const made = await loadUserAgent(
      await project({ 'agent.ts': `${HEAD}export default () => ({ agent: ${AGENT}, optoins: {} })` }),
    )
    assert.match(
      await refusal(Promise.resolve().then(() => made.openCall(recordingCall()))),
      /optoins` is unknown\. Did you mean `options`\?/,
    )
  })

  test('[A3] guardrails that nothing would run are refused, wherever they are', async () => {
    const guard = "{ name: 'g', execute: async () => ({ tripwireTriggered: false, outputInfo: {} }) }"
    const cases: [string, RegExp][] = [
      [
        `export const outputGuardrails = [${guard}]`,
        /exports `outputGuardrails` beside the agent\. Put it into `options`/,
      ],
      [`export const rules = [${guard}]`, /exports guardrails as `rules` that nothing runs/],
      [
        `export const optoins = { outputGuardrails: [${guard}] }`,
        /exports `optoins`, which is unknown\. Did you mean `options`\?/,
      ],
    ]
    for (const [more, expected] of cases) assert.match(await refused({ 'agent.ts': ONE + more }), expected)
    const inside = AGENT.replace('})', `, outputGuardrails: [${guard}] } as any)`)
    assert.match(
      await refused({ 'agent.ts': `${HEAD}export const agent = ${inside}` }),
      /the agent Desk has `outputGuardrails`, which a realtime session never runs/,
    )
    const used = await opened({
      'agent.ts': `${ONE}export const rules = [${guard}]\nexport const options = { outputGuardrails: rules }`,
    })
    assert.equal(used.outputGuardrails?.length, 1)
  })

  test('[A3] [A6] older flat settings are put where the newer ones are', async () => {
    const call = await opened(
      withOptions(
        "{ config: { turnDetection: null, inputAudioFormat: 'g711_ulaw', voice: 'ash', speed: 1.1, modalities: ['audio'], audio: { output: { voice: 'sage' } } } }",
      ),
    )
    assert.deepEqual(call.config, {
      outputModalities: ['audio'],
      audio: { input: { turnDetection: null }, output: { voice: 'sage', speed: 1.1 } },
    })
  })

  test('[A3] a tool that realtime models do not know is named in the log', async () => {
    const lines: LogLine[] = []
    const tools = "tools: [{ type: 'hosted_tool', name: 'web_search', providerData: {} }] } as any)"
    await opened(
      { 'agent.ts': `${HEAD}export const createAgent = () => ${AGENT.replace('})', `, ${tools}`)}` },
      { log: keepingLog(lines) },
    )
    assert.match(String(lines[0]?.reason), /the agent Desk has the tool web_search/)
  })
})

describe('copies of the SDK', () => {
  test('[A2] require and import, of any of its packages, give the plane’s classes', async () => {
    const parts = ['@openai/agents', '@openai/agents/realtime', '@openai/agents-realtime', '@openai/agents-core']
    const required = parts.map((part) => `require('${part}')`).join(', ')
    const call = await opened({
      'agent.cjs': `const all = [${required}]
        exports.agent = new all[1].RealtimeAgent({ name: 'Desk' })
        exports.options = { context: { classes: [all[1].RealtimeAgent, all[2].RealtimeAgent], tools: [all[0].tool, all[1].tool, all[2].tool, all[3].tool] } }`,
    })
    const { classes, tools } = call.context as { classes: unknown[]; tools: unknown[] }
    assert.ok(classes.every((one) => one === RealtimeAgent))
    assert.equal(new Set(tools).size, 1)
    assert.ok(call.agent instanceof RealtimeAgent)
  })

  test('[A2] an agent bundled together with a copy of the SDK works, its background results too', async () => {
    const source = await project({
      'source.ts': `import { backgroundResult, RealtimeAgent, tool } from '@openai/agents/realtime'
        import { z } from 'zod'
        const note = tool({ name: 'note', description: 'Notes.', parameters: z.object({ text: z.string() }), execute: async ({ text }) => backgroundResult(text) })
        const price = tool({ name: 'price', description: 'Tells.', parameters: z.object({}), execute: async () => '42' })
        const billing = new RealtimeAgent({ name: 'Billing', instructions: 'Tell.', tools: [note, price] })
        export const agent = new RealtimeAgent({ name: 'Desk', instructions: 'Greet.', handoffs: [billing] })`,
    })
    const outfile = join(dirname(source), 'agent.mjs')
    await build({
      entryPoints: [source],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
      banner: { js: "import{createRequire as r}from'node:module';const require=r(import.meta.url);" },
    })
    const call = await (await loadUserAgent(outfile)).openCall(recordingCall())
    assert.ok(!(call.agent instanceof RealtimeAgent))
    const rehearsal = new Rehearsal(call)
    await rehearsal.connect()
    await rehearsal.callTool('transfer_to_Billing', {})
    const noted = await rehearsal.callTool('note', { text: 'kept' })
    assert.deepEqual([noted.output, noted.startResponse], ['kept', false])
    assert.equal((await rehearsal.callTool('price', {})).startResponse, true)
    rehearsal.close()
  })
})

describe('reload', () => {
  const WORDS = (text: string) => `export enum Words { Hello = '${text}' }`
  const MAIN = `${HEAD}import { Words } from './words'\nexport const createAgent = () => new RealtimeAgent({ name: 'Desk', instructions: Words.Hello })`

  async function change(path: string, text: string): Promise<void> {
    await writeFile(path, text)
    const later = new Date(Date.now() + 5_000)
    await utimes(path, later, later)
  }

  test('[A1] a changed file serves the calls after it; live ones keep theirs; what does not load is reported', async () => {
    const lines: LogLine[] = []
    const file = await project({ 'agent.ts': MAIN, 'words.ts': WORDS('one') })
    const words = join(dirname(file), 'words.ts')
    const pack = await loadUserAgent(file, { reload: true, log: keepingLog(lines) })
    const open = async () => (await pack.openCall(recordingCall())).agent
    const first = await open()
    const version = pack.version
    await change(words, WORDS('two!'))
    const calls = await Promise.all([open(), open(), open()])
    assert.deepEqual(
      calls.map(({ instructions }) => instructions),
      ['two!', 'two!', 'two!'],
    )
    assert.equal(first.instructions, 'one')
    assert.notEqual(pack.version, version)
    await change(words, 'export enum {')
    assert.equal((await open()).instructions, 'two!')
    assert.match(String(lines.at(-1)?.reason), /words\.ts:1:\d+/)
    await change(words, WORDS('three'))
    assert.equal((await open()).instructions, 'three')
  })

  test('[A1] without the setting nothing is loaded anew, and the version follows from the content of all files', async () => {
    const files = { 'agent.ts': MAIN, 'words.ts': WORDS('one') }
    const [here, there, other] = await Promise.all([
      project(files),
      project(files),
      project({ ...files, 'words.ts': WORDS('two') }),
    ])
    const packs = await Promise.all([here, there, other].map((file) => loadUserAgent(file!)))
    assert.equal(packs[0]!.version, packs[1]!.version)
    assert.notEqual(packs[0]!.version, packs[2]!.version)
    await change(join(dirname(here!), 'words.ts'), WORDS('new'))
    assert.equal((await packs[0]!.openCall(recordingCall())).agent.instructions, 'one')
  })
})
