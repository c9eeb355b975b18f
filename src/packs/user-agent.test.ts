import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { isBackgroundResult, RealtimeAgent } from '@openai/agents-realtime'
import { partyOf } from '../call/identity.ts'
import { VoiceError } from '../kit/errors.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import { type Log, silentLog } from '../kit/log.ts'
import type { CallActions, Pack, PackSession } from './pack.ts'
import { loadUserAgent } from './user-agent.ts'

const baseDir = await mkdtemp(join(tmpdir(), 'voiceplane-agent-'))
after(() => rm(baseDir, { recursive: true, force: true }))

const CALL: CallActions = {
  callId: 'call_1' as CallId,
  callSid: 'CA1' as CallSid,
  from: '+12025550100',
  to: '+12025550199',
  direction: 'inbound',
  farParty: partyOf('+12025550100'),
  effectKey: () => 'call_test:1:1',
  endCall: () => ({ kind: 'accepted' }),
  transferCall: () => ({ kind: 'accepted' }),
}
const HEAD = "import { RealtimeAgent } from '@openai/agents-realtime'\n"
const AGENT = "new RealtimeAgent({ name: 'Desk', instructions: 'Be brief.' })"

let files = 0
async function load(source: string): Promise<Pack> {
  files += 1
  const file = `agent-${files}.ts`
  await writeFile(join(baseDir, file), source)
  return loadUserAgent(file, { baseDir })
}

async function refusal(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    assert.ok(error instanceof VoiceError, String(error))
    assert.equal(error.code, 'AGENT_FAILED')
    assert.equal(error.retryable, false)
    return error.message
  }
  assert.fail('was accepted')
}

test('[UA1] [UA2] an agent is taken as default, by name, and from a function, waited for or not', async () => {
  for (const source of [
    `${HEAD}export default ${AGENT}`,
    `${HEAD}export const agent = ${AGENT}`,
    `${HEAD}export const createAgent = () => ${AGENT}`,
    `${HEAD}export default async (call: { from: string }) => ({ agent: ${AGENT}, voice: 'marin', context: { from: call.from } })`,
    `${HEAD}export default { agent: ${AGENT}, voice: 'marin' }`,
  ]) {
    const pack = await load(source)
    const packCall = await pack.openCall(CALL)
    assert.ok(packCall.agent instanceof RealtimeAgent, source)
    assert.equal(packCall.agent.name, 'Desk')
    assert.equal(packCall.voice, source.includes('marin') ? 'marin' : undefined)
    assert.equal((packCall.context as { call: CallActions }).call, CALL)
  }
})

test('[UA2] a pack is taken as it is, and wins over what else is exported', async () => {
  const pack = await load(
    `${HEAD}const agent = ${AGENT}
     export const pack = { name: 'mine', version: '7', modelAudio: 'pcm16', openCall: () => ({ agent }) }
     export default agent`,
  )
  assert.deepEqual([pack.name, pack.version, pack.modelAudio], ['mine', '7', 'pcm16'])
})

test('[UA2] what stands beside the agent completes each call, and a function’s own result wins', async () => {
  const beside = `
    export const options = { outputGuardrails: [], context: { plan: 'Gold' }, transport: 'websocket', tracingDisabled: true }
    export const greeting = { kind: 'caller-first' }
    export const voice = 'cedar'
    export const modelAudio = 'pcm16'
    export const onSession = (session: object) => { Object.assign(session, { touched: true }) }`
  const pack = await load(`${HEAD}export const agent = ${AGENT}${beside}`)
  assert.equal(pack.modelAudio, 'pcm16')
  const packCall = await pack.openCall(CALL)
  assert.deepEqual(packCall.greeting, { kind: 'caller-first' })
  assert.deepEqual(packCall.context, { call: CALL, plan: 'Gold' })
  assert.deepEqual(packCall.outputGuardrails, [])
  assert.ok(!('tracingDisabled' in packCall) && !('transport' in packCall))
  const session: Record<string, unknown> = {}
  packCall.onSession?.(session as unknown as PackSession)
  assert.equal(session.touched, true)
  const made = await load(`${HEAD}export const createAgent = () => ({ agent: ${AGENT}, voice: 'ash' })${beside}`)
  assert.equal((await made.openCall(CALL)).voice, 'ash')
})

test('[SR1] a module with its own copy of the SDK is given the plane’s copy', async () => {
  const copy = join(baseDir, 'app/node_modules/@openai/agents-realtime')
  await mkdir(copy, { recursive: true })
  await writeFile(
    join(copy, 'package.json'),
    '{"name":"@openai/agents-realtime","type":"module","exports":"./index.js"}',
  )
  await writeFile(join(copy, 'index.js'), 'export class RealtimeAgent {}\nexport const backgroundResult = () => ({})\n')
  await writeFile(
    join(baseDir, 'app/agent.mjs'),
    `import { tool } from '@openai/agents'
     import { backgroundResult } from '@openai/agents/realtime'
     ${HEAD}export const agent = ${AGENT}
     export const options = { context: { tool, result: backgroundResult('kept') } }`,
  )
  const pack = await loadUserAgent('agent.mjs', { baseDir: dirname(copy).replace('/node_modules/@openai', '') })
  const packCall = await pack.openCall(CALL)
  assert.ok(packCall.agent instanceof RealtimeAgent)
  const context = packCall.context as { tool: unknown; result: unknown }
  assert.equal(typeof context.tool, 'function')
  assert.ok(isBackgroundResult(context.result))
})

test('[UA3] what is wrong with a module is said with its file and the fix', async () => {
  const cases: [string, RegExp][] = [
    ['export {}', /agent-\d+\.ts exports nothing\. Export a RealtimeAgent/],
    ['export const desk = 1', /exports desk\. Export a RealtimeAgent/],
    ['export default 5', /`default` is no RealtimeAgent .* type number/],
    ['export default null', /`default` is no RealtimeAgent/],
    ["export const agent = { name: 'Desk' }", /`agent` is no RealtimeAgent .* type Object/],
    [`${HEAD}export default class Desk extends RealtimeAgent {}`, /`default` is a class\. Export an instance/],
    [
      "import { Agent } from '@openai/agents-core'\nexport default new Agent({ name: 'Text' })",
      /is an Agent of the SDK's text side\. Make it with `new RealtimeAgent/,
    ],
    [`${HEAD}export const agent = ${AGENT}\nexport const options = 3`, /`options` is not an object/],
    [`${HEAD}export const agent = ${AGENT}\nexport const greeting = 'hello'`, /`greeting` is neither/],
    [`${HEAD}export const agent = ${AGENT}\nexport const voice = 3`, /`voice` is no string/],
    [`${HEAD}export const agent = ${AGENT}\nexport const onSession = {}`, /`onSession` is no function/],
    [
      `${HEAD}export const agent = ${AGENT}\nexport const toolEffects = { book: 'twice' }`,
      /`toolEffects` is no object/,
    ],
    [`${HEAD}export const agent = ${AGENT}\nexport const toolEffect = { book: 'once' }`, /Did you mean `toolEffects`/],
    [`${HEAD}export const agent = ${AGENT}\nexport const modelAudio = 'mp3'`, /`modelAudio` is neither/],
    ["import 'no-such-package'\nexport default 1", /could not be loaded: .*no-such-package/],
    ["throw new Error('no key')", /could not be loaded: no key/],
    ['export default {{', /could not be loaded/],
  ]
  for (const [source, expected] of cases) assert.match(await refusal(() => load(source)), expected)
  const absent = await refusal(() => loadUserAgent('absent.ts', { baseDir }))
  assert.match(absent, /absent\.ts cannot be read .*Set AGENT_MODULE/)
})

test('[UA3] [P69] a file of another language is refused with the languages that are wanted, and what to do with Python', async () => {
  const wanted =
    /is no JavaScript or TypeScript module: the plane runs agents of the OpenAI Agents SDK for JavaScript and TypeScript\. /
  for (const [name, cure] of [
    ['agent.py', /let its tools ask your Python program over HTTP\.$/],
    ['agent.json', /Set AGENT_MODULE to a file that ends in \.ts, /],
    ['agent', /Set AGENT_MODULE to a file that ends in \.ts, /],
  ] as const) {
    await writeFile(join(baseDir, name), 'agent = 1\n')
    const told = await refusal(() => loadUserAgent(name, { baseDir }))
    assert.match(told, wanted)
    assert.match(told, cure)
  }
})

test('[UA3] a function that throws or gives the wrong thing fails its call and not the load', async () => {
  const throwing = await load("export default () => { throw new Error('no database') }")
  assert.match(await refusal(() => throwing.openCall(CALL)), /`default` threw: no database/)
  const wrong = await load('export const createAgent = async () => undefined')
  assert.match(await refusal(() => wrong.openCall(CALL)), /what `createAgent` returned is no RealtimeAgent/)
})

test('[P28][UA2] what a module says of its tools reaches each call, beside the agent and in the object of one call', async () => {
  const beside = await load(`${HEAD}export const agent = ${AGENT}\nexport const toolEffects = { book: 'keyed' }`)
  assert.deepEqual((await beside.openCall(CALL)).toolEffects, { book: 'keyed' })
  const inside = await load(`${HEAD}export default () => ({ agent: ${AGENT}, toolEffects: { look: 'read' } })`)
  assert.deepEqual((await inside.openCall(CALL)).toolEffects, { look: 'read' })
})

test('[P54][UA7] a voice that is not known is told when the module is loaded, wherever it stands, and loads all the same', async () => {
  const lines: Record<string, unknown>[] = []
  const log: Log = { ...silentLog, warn: (fields) => void lines.push(fields as Record<string, unknown>) }
  const source = `${HEAD}export const agent = new RealtimeAgent({ name: 'Desk', voice: 'Marin', handoffs: [
    new RealtimeAgent({ name: 'Bills', voice: 'nova' }), new RealtimeAgent({ name: 'Fine', voice: 'cedar' })] })
    export const options = { config: { audio: { output: { voice: 'mirin' } } } }
    export const voice = 'marin'`
  files += 1
  await writeFile(join(baseDir, `agent-${files}.ts`), source)
  const pack = await loadUserAgent(`agent-${files}.ts`, { baseDir, log })
  assert.deepEqual(
    lines.map(({ setting, voice, nearest }) => [setting, voice, nearest]),
    [
      ['options.config.audio.output.voice', 'mirin', 'marin'],
      ['voice of the agent Desk', 'Marin', 'marin'],
      ['voice of the agent Bills', 'nova', undefined],
    ],
  )
  assert.match(String(lines[0]?.known), /alloy, .*marin, cedar/)
  await pack.openCall(CALL)
  assert.equal(lines.length, 3, 'told once')
})
