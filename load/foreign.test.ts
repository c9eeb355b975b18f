// The generator against bridges that are not ours: FastAPI as tutorials write it, Node on `ws`, the Agents SDK's own transport.
import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { suite, test } from 'node:test'
import { startOpenAiSim } from '../sim/openai/sim.ts'
import type { LoadReport } from './report/report.ts'

const PYTHON = '/usr/bin/python3'
const PACKAGES = 'python3-fastapi python3-uvicorn python3-websockets python3-multipart'
const READY_MS = 60_000
const RUN_MS = 120_000

type Bridge = { command: string; args: string[]; env: Record<string, string>; load: string[] }

const path = (relative: string): string => new URL(relative, import.meta.url).pathname

const BRIDGES: Record<string, Bridge> = {
  'a FastAPI bridge as tutorials write it: /incoming-call, a host without port, no status callback': {
    command: PYTHON,
    args: [path('./testing/tutorial_bridge.py')],
    env: {},
    load: ['--voice-path', '/incoming-call'],
  },
  'a plain Node bridge on ws': {
    command: process.execPath,
    args: [path('../bench/peers/ws-bridge.ts')],
    env: { VOICE_PATH: '/voice?lang=en' },
    load: ['--voice-path', '/voice?lang=en'],
  },
  "the Agents SDK's own Twilio transport": {
    command: process.execPath,
    args: [path('../bench/peers/sdk-bridge.ts')],
    env: { VOICE_PATH: '/incoming-call' },
    load: ['--voice-path', '/incoming-call', '--status-path', 'none'],
  },
}

/** Starts a bridge; its port, and how to end it. */
async function start({ command, args, env }: Bridge, modelUrl: string): Promise<{ port: number; stop: () => void }> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PORT: '0', OPENAI_REALTIME_URL: modelUrl, OPENAI_API_KEY: 'sk-foreign', ...env },
  })
  const stop = (): void => void child.kill('SIGKILL')
  const timer = setTimeout(stop, READY_MS)
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"ready"')) continue
    clearTimeout(timer)
    return { port: (JSON.parse(line) as { port: number }).port, stop }
  }
  throw new Error('the bridge ended before it was ready')
}

function load(args: string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [path('./main.ts'), ...args], { timeout: RUN_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out: stdout + stderr })
    })
  })
}

const hasPython = spawnSync(PYTHON, ['-c', 'import fastapi, uvicorn, websockets, multipart']).status === 0

suite('[L1] the load generator drives', () => {
  for (const [name, bridge] of Object.entries(BRIDGES)) {
    const isMissing = bridge.command === PYTHON && !hasPython
    const skip = isMissing && process.env.CI === undefined ? `needs: apt-get install ${PACKAGES}` : false
    test(name, { skip }, async () => {
      assert.ok(!isMissing, `needs: apt-get install ${PACKAGES}`)
      const folder = await mkdtemp(join(tmpdir(), 'load-foreign-'))
      const witnessFile = join(folder, 'model.jsonl')
      const model = await startOpenAiSim({ thinkMs: 100, witnessFile })
      const running = await start(bridge, model.url)
      try {
        const [json, html] = [join(folder, 'report.json'), join(folder, 'report.html')]
        const { code, out } = await load([
          ...['--url', `http://127.0.0.1:${running.port}`, '--calls', '3', '--hold-s', '14'],
          ...['--json', json, '--html', html, ...bridge.load],
        ])
        const { figures, failures } = JSON.parse(await readFile(json, 'utf8')) as LoadReport
        assert.deepEqual(failures, [], out)
        assert.equal(code, 0, out)
        assert.deepEqual([figures.setUp.succeeded, figures.calls.dropped, figures.calls.mute], [3, 0, 0])
        assert.ok(figures.turns.answered >= 1, `${figures.turns.answered} turns were answered`)
        assert.ok(figures.agentAudio.playedShare! > 0.1, `agent speaks ${figures.agentAudio.playedShare}`)
        assert.doesNotMatch(out + (await readFile(html, 'utf8')), /voiceplane|\bplane\b/i, 'words for one server alone')
        await model.close()
        const heard = (await readFile(witnessFile, 'utf8')).split('\n').filter((line) => line !== '')
        assert.ok(
          heard.some((line) => line.includes('speech_started')),
          'the model hears the callers',
        )
        assert.ok(!heard.some((line) => line.includes('"event":"probe"')), 'no probe is in the audio unless asked for')
      } finally {
        running.stop()
        await model.close()
        await rm(folder, { recursive: true })
      }
    })
  }
})
