import assert from 'node:assert/strict'
import { test } from 'node:test'
import twilio from 'twilio'
import { DEPTH_MAX, DOCUMENT_CHARS_MAX, parseXml } from './xml.ts'

test('[X1] elements, attributes, text, entities, CDATA and comments are read', () => {
  const parsed = parseXml(`\uFEFF<?xml version="1.0" encoding="UTF-8"?>
    <!-- before --><Response a='1' b = "x &amp; &quot;y&quot;">
      <Say voice="alice">Tom &lt;&#33;&#x41;<!-- inside --> &apos;</Say><Hangup /><Play><![CDATA[a<b&c]]></Play>
    </Response> <!-- after -->`)
  assert.equal(parsed.kind, 'document')
  if (parsed.kind !== 'document') return
  const { root } = parsed
  assert.deepEqual({ ...root.attributes }, { a: '1', b: 'x & "y"' })
  assert.deepEqual(
    root.children.map((child) => [child.name, child.text]),
    [
      ['Say', "Tom <!A '"],
      ['Hangup', ''],
      ['Play', 'a<b&c'],
    ],
  )
})

test('[X1] TwiML of the official library is read', () => {
  const response = new twilio.twiml.VoiceResponse()
  const stream = response.connect({ action: 'https://x.test/a?b=1&c=2' }).stream({ url: 'wss://x.test/media' })
  stream.parameter({ name: 'tenant', value: 'a & b <c>' })
  const parsed = parseXml(response.toString())
  assert.equal(parsed.kind, 'document')
  if (parsed.kind !== 'document') return
  const connect = parsed.root.children[0]!
  assert.equal(connect.attributes.action, 'https://x.test/a?b=1&c=2')
  assert.equal(connect.children[0]!.children[0]!.attributes.value, 'a & b <c>')
})

test('[X2] what is not well formed, or not in the subset, is refused with its place', () => {
  const bad = [
    '',
    'text',
    '<a>',
    '<a></b>',
    '<a/><b/>',
    '<a x=1/>',
    '<a x="1" x="2"/>',
    '<a x="1"y="2"/>',
    '<a x="<"/>',
    '<a>&nbsp;</a>',
    '<a>&amp</a>',
    '<a>&#0;</a>',
    '<a>&#xD800;</a>',
    '<a><!-- -- --></a>',
    '<!DOCTYPE a><a/>',
    '<a><?php ?></a>',
    '<a/>more',
    '<a',
    '<1/>',
  ]
  for (const source of bad) {
    const parsed = parseXml(source)
    assert.equal(parsed.kind, 'invalid', source)
  }
})

test('[X3] depth and size are bounded', () => {
  assert.equal(parseXml('<a>'.repeat(DEPTH_MAX) + '</a>'.repeat(DEPTH_MAX)).kind, 'document')
  assert.equal(parseXml('<a>'.repeat(DEPTH_MAX + 1) + '</a>'.repeat(DEPTH_MAX + 1)).kind, 'invalid')
  assert.equal(parseXml(`<a>${' '.repeat(DOCUMENT_CHARS_MAX)}</a>`).kind, 'invalid')
})
