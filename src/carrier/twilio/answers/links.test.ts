// Addresses: what they name, what they carry, what is read back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallId, CallSid } from '../../../kit/ids.ts'
import { CALL_OVERRIDES, carriedIn, Links } from './links.ts'

const CALL = 'CA00000000000000000000000000000001' as CallSid
const links = new Links(() => 'https://voice.example.test')
const bare = (url: string) => url.slice(0, url.length - CALL_OVERRIDES.length)

test('[LN1] what follows a stream names its pod', () => {
  assert.equal(bare(links.next({ pod: 'pod-2' })), 'https://voice.example.test/twilio/next?pod=pod-2')
  assert.equal(bare(links.next()), 'https://voice.example.test/twilio/next')
  const grant = { kind: 'stream' as const, callId: 'call_1' as CallId, token: 't', pod: 'pod-2' }
  assert.equal(links.stream(CALL, grant), `wss://voice.example.test/media/pod-2/${CALL}/t`)
})

test('[LN2] addresses of a caller who is in carry the carrier’s retries in the fragment, the others none', () => {
  for (const url of [links.next({ pod: 'p' }), links.wait(CALL, { said: 3 })]) {
    assert.equal(new URL(url).hash, '#ct=1500&rt=4000&tt=14000&rc=3&rp=all')
  }
  const { voicemailUrl, recordingUrl, callBackUrl } = links.overflow({ language: 'de' })
  for (const url of [links.voice({}), links.streamStatus(), voicemailUrl, recordingUrl, callBackUrl]) {
    assert.equal(new URL(url).hash, '')
  }
})

test('[LN3] what is carried comes back as it was, zero callers ahead included', () => {
  for (const carried of [
    { pod: 'pod-2', tries: 2, said: 0, language: 'pt-BR', anew: 1 },
    { pod: undefined, tries: 0, said: undefined, language: undefined, anew: 0 },
    { pod: 'p', tries: 0, said: 100_000, language: 'zh&x=1', anew: 3 },
  ]) {
    const { searchParams } = new URL(links.wait(CALL, carried))
    assert.deepEqual(carriedIn(Object.fromEntries(searchParams)), carried)
  }
})

test('[LN3] what does not look like ours is left out', () => {
  const odd = { pod: 'a/../b', tries: '-1', said: '1e3', language: '', anew: '99999999999' }
  assert.deepEqual(carriedIn(odd), { pod: undefined, tries: 0, said: undefined, language: undefined, anew: 0 })
  assert.equal(carriedIn({ said: '999999' }).said, 100_000)
})
