// What a person sees when a start goes wrong or a setting is misspelt: by the whole program.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { startOpenAiSim } from '../sim/openai/sim.ts'
import { readConfig } from '../src/config.ts'

const program = (path: string): string => new URL(`../${path}`, import.meta.url).pathname
const RUN_MAX_MS = 150_000

/** Runs a program to its end; `act` is called with it and with what it has said so far, at each piece. */
async function run(
  file: string,
  args: string[],
  env: Record<string, string>,
  act: (child: ReturnType<typeof spawn>, said: string) => void = () => undefined,
): Promise<{ code: number | null; said: string }> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [program(file), ...args], {
    env: { PATH, HOME, ...env },
    timeout: RUN_MAX_MS,
    killSignal: 'SIGKILL',
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => {
      said += piece.toString()
      act(child, said)
    })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}

test('[O13] a port that another program has is said with the setting to change', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const port = String((taken.address() as AddressInfo).port)
  const env = { OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime', LOG_LEVEL: 'error' }
  try {
    const calls = await run('src/main.ts', ['edge'], { ...env, PORT: port })
    assert.equal(calls.code, 78)
    assert.match(calls.said, new RegExp(`could not start: the port ${port} is taken by another program: set PORT `))
    const ops = await run('src/main.ts', ['edge'], { ...env, PORT: '0', OPS_PORT: port })
    assert.match(ops.said, new RegExp(`the port ${port} is taken by another program: set OPS_PORT `))
    const model = await run('sim/openai/main.ts', ['--port', port], {})
    assert.equal(model.code, 1)
    assert.match(
      model.said,
      new RegExp(`^The port ${port} is taken by another program: choose another with --port\\.\n$`),
    )
  } finally {
    taken.close()
  }
})

test('[OPS-7][O13] a misspelt setting is warned about by name; the pod serves all the same', async () => {
  const env = { OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime', PORT: '0', CALLS_MX: '5' }
  const { code, said } = await run('src/main.ts', ['edge'], env, (child, text) => {
    if (text.includes('the edge is listening')) child.kill('SIGTERM')
  })
  assert.equal(code, 0)
  assert.match(said, /"level":"warn".*"setting":"CALLS_MX","nearest":"CALLS_MAX"/)
})

test('[O2] a signal while the agent loads ends the program quietly', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-start-'))
  try {
    const file = join(folder, 'agent.mjs')
    await writeFile(
      file,
      "console.log('LOADING')\nawait new Promise((_, reject) => setTimeout(reject, 1500, new Error('stopped')))",
    )
    const env = {
      OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime',
      PORT: '0',
      AGENT_MODULE: file,
      LOG_LEVEL: 'warn',
    }
    const { code, said } = await run('src/main.ts', ['edge'], env, (child, text) => {
      if (text === 'LOADING\n') child.kill('SIGINT')
    })
    assert.deepEqual([code, said], [0, 'LOADING\n'])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('[L1] the simulated model of this machine takes the plane without a key, and refuses who shows none at all', async () => {
  const model = await startOpenAiSim()
  try {
    const reading = readConfig({ OPENAI_REALTIME_URL: model.url })
    assert.ok(reading.kind === 'ok' && reading.config.model.endpoint.kind === 'openai')
    const { url, headers } = reading.config.model.endpoint
    const socket = new WebSocket(url, { headers })
    const [created] = (await once(socket, 'message')) as [Buffer]
    assert.match(created.toString(), /"session\.created"/)
    socket.close()
    const bare = new WebSocket(url)
    const [error] = (await once(bare, 'error')) as [Error]
    assert.match(error.message, /401/)
  } finally {
    await model.close()
  }
})

const OWN_AGENT = `
import { RealtimeAgent, tool } from '@openai/agents/realtime'
import { z } from 'zod'
const lookUp = tool({
  name: 'look_up', description: 'Looks up an order.', parameters: z.object({ order: z.string() }),
  execute: async ({ order }) => \`Order \${order} has shipped.\`,
})
const orders = new RealtimeAgent({ name: 'Orders', instructions: 'You know orders.', tools: [lookUp] })
export const agent = new RealtimeAgent({ name: 'Desk', instructions: 'Greet.', handoffs: [orders] })
export const options = {
  outputGuardrails: [{
    name: 'shipped',
    execute: async ({ agentOutput }) => {
      const tripwireTriggered = agentOutput.includes('shipped')
      if (tripwireTriggered) console.log('GUARDRAIL')
      return { tripwireTriggered, outputInfo: {} }
    },
  }],
}`

test('[A1] without a key the demonstration shows a handoff, a tool and a guardrail of an agent of your own', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-own-'))
  try {
    await symlink(program('node_modules'), join(folder, 'node_modules'))
    const file = join(folder, 'agent.ts')
    await writeFile(file, OWN_AGENT)
    const env = { AGENT_MODULE: file, PORT: '0', DATA_DIR: join(folder, 'data'), EXIT_AFTER_DEMO: 'on' }
    const { code, said } = await run('src/main.ts', ['all'], { ...env, EMBEDDED_DATABASE: 'off' })
    assert.equal(code, 0, said)
    assert.match(said, /\[tool\] {3}transfer_to_Orders\(\{\}\)/)
    assert.match(said, /\[tool\] {3}look_up\(\{"order":"check-up"\}\) → Order check-up has shipped\./)
    assert.match(said, /^GUARDRAIL$/m)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
