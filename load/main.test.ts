import assert from 'node:assert/strict'
import { type ExecFileException, execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

type Run = { code: number; stdout: string; stderr: string }

function load(...args: string[]): Promise<Run> {
  const main = new URL('./main.ts', import.meta.url).pathname
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args],
      { timeout: 30_000 },
      (error: ExecFileException | null, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
      },
    )
  })
}

test('wrong arguments are listed on standard error with code 2, and nothing is dialled', async () => {
  const { code, stdout, stderr } = await load('--calls', 'many', '--scenario', 'shout')
  assert.equal(code, 2)
  assert.equal(stdout, '')
  assert.match(stderr, /--calls "many" must be a whole number/)
  assert.match(stderr, /"shout" is unknown: use talk/)
})

test('help goes to standard output with code 0', async () => {
  const { code, stdout } = await load('--help')
  assert.equal(code, 0)
  assert.match(stdout, /--model-witness/)
})

test('a plane that answers 503 gives failed set-ups, a report all the same, and code 1', async () => {
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(503).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const folder = await mkdtemp(join(tmpdir(), 'load-test-'))
  try {
    const { port } = server.address() as { port: number }
    const json = join(folder, 'report.json')
    const html = join(folder, 'report.html')
    const { code, stdout, stderr } = await load(
      ...[
        '--url',
        `http://127.0.0.1:${port}`,
        '--calls',
        '4',
        '--ramp',
        '100',
        '--hold-s',
        '1',
        '--json',
        json,
        '--html',
        html,
      ],
    )
    assert.equal(code, 1, stderr)
    assert.match(stdout, /set-up failed\s+4/)
    const report = JSON.parse(await readFile(json, 'utf8'))
    assert.equal(report.isClean, false)
    assert.deepEqual(report.figures.calls.ends, { 'webhook-failed': 4 })
    assert.match(await readFile(html, 'utf8'), /4 set-ups failed/)
  } finally {
    server.close()
    await rm(folder, { recursive: true })
  }
})
