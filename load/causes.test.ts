// What a person sees when a server is not as the generator expects it: on the page and in the text report, cause and fix.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { FakePlane, type PlaneStream } from '../sim/twilio/testing/fake-plane.ts'
import type { LoadReport } from './report/report.ts'

const SOUND = Buffer.alloc(16_000, 0x20)
const RUN_MS = 120_000

type Setting = {
  /** What the voice webhook answers, given the server's own addresses. */
  voice?: (plane: FakePlane) => { status?: number; body?: string }
  onStream?: (stream: PlaneStream) => void
  args?: (plane: FakePlane) => string[]
  /** Dial this instead of the server's own address. */
  url?: (plane: FakePlane) => string
}

async function reportOf(setting: Setting) {
  const plane = await new FakePlane().start()
  const folder = await mkdtemp(join(tmpdir(), 'load-causes-'))
  plane.onRequest = () => setting.voice?.(plane) ?? { body: plane.connectTwiml() }
  plane.onStream = setting.onStream ?? ((stream) => stream.say(SOUND))
  const [json, html] = [join(folder, 'r.json'), join(folder, 'r.html')]
  const url = setting.url?.(plane) ?? plane.base
  const args = [
    '--url',
    url,
    '--calls',
    '2',
    '--hold-s',
    '2',
    '--scenario',
    'silence',
    '--voice-path',
    '/incoming-call',
  ]
  try {
    const main = new URL('./main.ts', import.meta.url).pathname
    const all = [main, ...args, '--json', json, '--html', html, ...(setting.args?.(plane) ?? [])]
    const { code, text } = await new Promise<{ code: number; text: string }>((resolve) =>
      execFile(process.execPath, all, { timeout: RUN_MS }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr }),
      ),
    )
    const report = JSON.parse(await readFile(json, 'utf8')) as LoadReport
    return { code, text, page: await readFile(html, 'utf8'), report, plane }
  } finally {
    await plane.close()
    await rm(folder, { recursive: true })
  }
}

const CASES: [what: string, setting: Setting, cause: RegExp, fix: RegExp][] = [
  ['404 for the voice path', { voice: () => ({ status: 404 }) }, /no such path for the voice webhook/, /--voice-path/],
  [
    'TwiML without a Stream',
    { voice: () => ({ body: '<Response><Pause length="0"/></Response>' }) },
    /holds no Stream/,
    /Connect/,
  ],
  ['an answer in JSON', { voice: () => ({ body: '"<Response/>"' }) }, /not TwiML/, /text\/xml/],
  [
    'plain HTTP where TLS is dialled',
    { url: (plane) => plane.base.replace('http:', 'https:') },
    /TLS was refused/,
    /http:\/\//,
  ],
  [
    'a stream on a host of strangers',
    {
      voice: () => ({ body: '<Response><Connect><Stream url="wss://voice.example.com/media"/></Connect></Response>' }),
    },
    /leads away from this machine/,
    /--media-url/,
  ],
  [
    'messages without the streamSid, then no sound',
    {
      onStream: (stream) => stream.sendText('{"event":"media","media":{"payload":"////"}}'),
      args: () => ['--hold-s', '21'],
    },
    /do not carry the streamSid/,
    /start\.streamSid/,
  ],
  ['an error in the call', { onStream: (stream) => stream.socket.close(1011) }, /met an error in this call/, /model/],
]

suite('[L1] cause and fix on page and in text', { concurrency: 2 }, () => {
  for (const [what, setting, cause, fix] of CASES)
    test(what, async () => {
      const { code, text, page, report } = await reportOf(setting)
      assert.equal(code, 1, text)
      assert.equal(report.failures.length, 1, JSON.stringify(report.failures))
      assert.equal(report.failures[0]!.calls, 2)
      assert.match(report.failures[0]!.cause, cause)
      assert.match(report.failures[0]!.fix, fix)
      const flat = text.replace(/\s+/g, ' ')
      const shown = page
        .replaceAll('&lt;', '<')
        .replaceAll('&gt;', '>')
        .replaceAll('&quot;', '"')
        .replaceAll('&amp;', '&')
      for (const words of [report.failures[0]!.cause, report.failures[0]!.fix]) {
        assert.ok(flat.includes(words), `${words} in ${text}`)
        assert.ok(shown.includes(words), `${words} on the page`)
      }
    })

  test('[CP4] a host without its port is dialled at the server’s own, in wss as in ws', async () => {
    for (const scheme of ['wss', 'ws']) {
      const stream = `<Stream url="${scheme}://127.0.0.1/media-stream"/>`
      const voice = () => ({ body: `<Response><Connect>${stream}</Connect></Response>` })
      const { code, text, report } = await reportOf({ voice })
      assert.deepEqual([code, report.figures.setUp.succeeded, report.failures], [0, 2, []], text)
    }
  })

  test('--media-url is dialled instead of what the TwiML says, with the TwiML’s path or its own', async () => {
    const voice = () => ({
      body: '<Response><Connect><Stream url="wss://voice.example.com/announced"/></Connect></Response>',
    })
    for (const [own, dialled] of [
      ['', '/announced'],
      ['/other', '/other'],
    ]) {
      const { code, text, plane } = await reportOf({ voice, args: ({ wsBase }) => ['--media-url', wsBase + own] })
      assert.equal(code, 0, text)
      assert.deepEqual(
        plane.streams.map(({ request }) => [request.url, request.headers.host]),
        [
          [dialled, 'voice.example.com'],
          [dialled, 'voice.example.com'],
        ],
      )
    }
  })

  test('--status-path none tells nobody; a path tells there', async () => {
    const told = async (args: string[]) => {
      const { plane } = await reportOf({ args: () => args })
      return plane.requests.flatMap(({ path }) => (path === '/incoming-call' ? [] : [path]))
    }
    assert.deepEqual(await told([]), [], 'a server with a voice path of its own has no status callback')
    assert.deepEqual(await told(['--status-path', '/call-over']), ['/call-over', '/call-over'])
  })
})
