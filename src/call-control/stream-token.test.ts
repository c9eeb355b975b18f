// Stream tokens: forgeries, expiry, other calls, second use, and the bound of the memory of used ones.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallSid } from '../kit/ids.ts'
import { makeStreamTokens, type StreamToken, TokenUse } from './stream-token.ts'

const callSid = 'CA00000000000000000000000000000001' as CallSid
const other = 'CA00000000000000000000000000000002'
const nowMs = 1_790_000_000_000
const tokens = makeStreamTokens({ secret: 's'.repeat(32), ttlMs: 60_000 })
const mint = () => tokens.mint({ callSid, pod: 'pod-7', epoch: 3, nowMs })

test('[TK2] a fresh token says call, pod, epoch and expiry', () => {
  const check = tokens.verify(mint(), { callSid, nowMs: nowMs + 59_999 })
  assert.equal(check.kind, 'valid')
  const { nonce, ...said } = check as { kind: 'valid' } & StreamToken
  assert.deepEqual(said, { kind: 'valid', callSid, pod: 'pod-7', epoch: 3, exp: nowMs + 60_000 })
  assert.match(nonce, /^[\w-]{12}$/)
})

test('a token fits in one path segment and no two are alike', () => {
  const longest = tokens.mint({ callSid, pod: 'p'.repeat(63), epoch: 4_294_967_295, nowMs })
  assert.match(longest, /^[A-Za-z0-9_-]{1,255}$/)
  assert.equal(tokens.verify(longest, { callSid, nowMs }).kind, 'valid')
  assert.notEqual(mint(), mint())
})

test('[TK1] a token changed at any one character is forged', () => {
  const token = mint()
  for (let at = 0; at < token.length; at++) {
    const changed = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
    assert.equal(tokens.verify(changed, { callSid, nowMs }).kind, 'forged', `character ${at}`)
  }
})

test('[TK1] another secret, another spelling, a cut, a longer and an empty token are forged', () => {
  const token = mint()
  const stranger = makeStreamTokens({ secret: 't'.repeat(32), ttlMs: 60_000 })
  const forged = [
    stranger.mint({ callSid, pod: 'pod-7', epoch: 3, nowMs }),
    `${token}=`,
    `${token} `,
    token.slice(0, -1),
    token + token,
    'A'.repeat(100_000),
    '',
    '../..',
  ]
  for (const text of forged) assert.equal(tokens.verify(text, { callSid, nowMs }).kind, 'forged', text.slice(0, 40))
})

test('[TK2] a token is refused from its expiry on, and for another call', () => {
  assert.equal(tokens.verify(mint(), { callSid, nowMs: nowMs + 60_000 }).kind, 'expired')
  assert.equal(tokens.verify(mint(), { callSid: other, nowMs }).kind, 'other-call')
})

test('[TK3] a token is good once', () => {
  const use = new TokenUse()
  const token = tokens.verify(mint(), { callSid, nowMs }) as { kind: 'valid' } & StreamToken
  assert.equal(use.take(token, nowMs).kind, 'fresh')
  assert.equal(use.take(token, nowMs + 1).kind, 'used')
})

test('[TK3] used tokens leave at their expiry, whatever the order they came in', () => {
  const use = new TokenUse({ max: 3 })
  use.take({ nonce: 'late', exp: 1_000 }, 0)
  use.take({ nonce: 'early', exp: 10 }, 0)
  use.take({ nonce: 'middle', exp: 500 }, 0)
  assert.equal(use.take({ nonce: 'x', exp: 900 }, 9).kind, 'full')
  assert.equal(use.take({ nonce: 'x', exp: 900 }, 10).kind, 'fresh')
  assert.equal(use.size, 3)
  assert.equal(use.take({ nonce: 'y', exp: 2_000 }, 1_000).kind, 'fresh')
  assert.equal(use.size, 1)
})

test('[TK3] when the memory is full a new token is refused and no used one is forgotten', () => {
  const use = new TokenUse({ max: 100 })
  for (let n = 0; n < 100; n++) assert.equal(use.take({ nonce: `n${n}`, exp: 1_000 }, 0).kind, 'fresh')
  assert.equal(use.take({ nonce: 'one more', exp: 1_000 }, 0).kind, 'full')
  for (let n = 0; n < 100; n++) assert.equal(use.take({ nonce: `n${n}`, exp: 1_000 }, 0).kind, 'used')
  assert.equal(use.size, 100)
})
