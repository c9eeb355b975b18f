// The callback addresses that operators are told to configure, against a pod that fails: the carrier tries again.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { sendWebhook } from '../../sim/twilio/http/webhook.ts'
import { CALL_OVERRIDES } from '../../src/carrier/twilio/answers/links.ts'
import { ROOT } from '../../tools/tree.ts'

test('[O21] every documented callback address bears the carrier’s own retries, those of the plane’s own addresses', () => {
  let found = 0
  for (const file of ['README.md', 'docs/after-call.md', 'deploy/helm/voiceplane/templates/NOTES.txt']) {
    const text = readFileSync(join(ROOT, file), 'utf8')
    for (const [, path, overrides] of text.matchAll(/POST [^\n|]*?(\/twilio\/(?:status|recording))(#[^`\s]*)?/g)) {
      // Where the page speaks of the path and not of an address to configure.
      if (file === 'docs/after-call.md' && path === '/twilio/status') continue
      assert.equal(overrides, CALL_OVERRIDES, `${file}: ${path}`)
      found += 1
    }
  }
  assert.equal(found, 4)
  assert.ok(
    readFileSync(join(ROOT, 'load/caller.ts'), 'utf8').includes(`'${CALL_OVERRIDES}'`),
    'chaos and load use them',
  )
})

test('[O21] with them a callback survives a pod that breaks off, fails and refuses; without them it is lost', async () => {
  let asked = 0
  const server = createServer((request, response) => {
    asked += 1
    if (asked === 1) request.socket.destroy()
    else response.writeHead(asked === 2 ? 502 : asked === 3 ? 503 : 200).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const send = (overrides: string) =>
    sendWebhook({
      url: `http://127.0.0.1:${port}/twilio/status${overrides}`,
      method: 'POST',
      params: { CallStatus: 'completed' },
      authToken: 't',
      rewrites: {},
    })
  const kept = await send(CALL_OVERRIDES)
  assert.deepEqual([kept.kind, kept.attempts], ['answered', 4])
  asked = 0
  const lost = await send('')
  assert.deepEqual([lost.kind, lost.attempts], ['failed', 1])
  await new Promise((resolve) => server.close(resolve))
})
