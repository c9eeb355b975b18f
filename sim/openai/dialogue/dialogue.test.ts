import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Catalogue } from './catalogue.ts'
import { Dialogue } from './dialogue.ts'
import { minimalArguments } from './minimal-arguments.ts'
import { fill, fillDeep, readScript, type Script } from './script.ts'

const SCRIPT: Script = {
  name: 'test',
  loop: true,
  turns: [
    { say: 'Hello.' },
    {
      expectCaller: 'Look it up.',
      call: { name: 'look', arguments: { id: 4 } },
      thenSay: 'It is {{found.name|nothing}}.',
    },
    { expectCaller: 'Bye.', say: 'Goodbye.' },
  ],
}
const LOOK = [{ name: 'look' }]
const words = (outputs: ReturnType<Dialogue['next']>) =>
  outputs.map((output) => (output.kind === 'speech' ? output.text : `call ${output.name}`))

test('[P1] turns are taken in order and loop without the greeting; a response without new words is a nudge', () => {
  const dialogue = new Dialogue({ script: SCRIPT, nowMs: 0 })
  assert.deepEqual(words(dialogue.next([], 0)), ['Hello.'])
  assert.match(words(dialogue.next([], 0))[0]!, /still here/)
  assert.equal(dialogue.hearCaller(), 'Look it up.')
  assert.deepEqual(words(dialogue.next([], 0)), ['It is nothing.'])
  assert.equal(dialogue.hearCaller(), 'Bye.')
  assert.deepEqual(words(dialogue.next([], 0)), ['Goodbye.'])
  assert.equal(dialogue.hearCaller(), 'Look it up.')
})

test('[P2] between a call and its output the caller is asked for patience, then the answer comes', () => {
  const dialogue = new Dialogue({ script: SCRIPT, nowMs: 0 })
  dialogue.hearCaller()
  assert.deepEqual(words(dialogue.next(LOOK, 0)), ['call look'])
  assert.match(words(dialogue.next(LOOK, 0))[0]!, /One moment/)
  assert.equal(dialogue.hearOutput('{"found":{"name":"Ada"}}'), true)
  assert.deepEqual(words(dialogue.next(LOOK, 0)), ['It is Ada.'])
})

test('[P3] a call that was lost is made again', () => {
  const dialogue = new Dialogue({ script: SCRIPT, nowMs: 0 })
  dialogue.hearCaller()
  dialogue.next(LOOK, 0)
  dialogue.callLost()
  dialogue.hearCaller()
  assert.deepEqual(words(dialogue.next(LOOK, 0)), ['call look'])
})

test('[O5] [P7] a session that is to talk for a time talks on where its script would end the call, then ends it', () => {
  const script: Script = {
    name: 'short',
    turns: [{ say: 'Hello.' }, { say: 'Goodbye.', call: { name: 'end_call', arguments: {} } }],
  }
  const talk = { ms: 60_000, turns: [{ say: 'First.' }, { say: 'Second.' }] }
  const dialogue = new Dialogue({ script, nowMs: 0, talk })
  const turn = (nowMs: number) => {
    dialogue.hearCaller()
    return words(dialogue.next([{ name: 'end_call' }], nowMs))
  }
  assert.deepEqual(words(dialogue.next([], 0)), ['Hello.'])
  assert.deepEqual([turn(1_000), turn(2_000), turn(59_000)], [['First.'], ['Second.'], ['First.']])
  assert.deepEqual(turn(60_000), ['Goodbye.', 'call end_call'])
})

test('[P4] replayed history leads to the same place as the history itself', () => {
  const dialogue = new Dialogue({ script: SCRIPT, nowMs: 0 })
  dialogue.replaySpeech()
  dialogue.hearCaller()
  dialogue.replayCall('look', '')
  dialogue.hearOutput('{"found":{"name":"Ada"}}')
  assert.deepEqual(words(dialogue.next(LOOK, 0)), ['It is Ada.'])
  dialogue.hearCaller()
  assert.deepEqual(words(dialogue.next(LOOK, 0)), ['Goodbye.'])
})

test('[P6] a replayed call finds its turn by its arguments, wherever the history began', () => {
  const step = (n: number) => ({ call: { name: 'look', arguments: { step: n } }, thenSay: `Step ${n}.` })
  const script: Script = { name: 'steps', turns: [{ say: 'Hello.' }, step(1), step(2), step(3), step(4)] }
  const resumed = new Dialogue({ script, nowMs: 0 })
  resumed.replayCall('look', '{"step":3}')
  resumed.hearOutput('{}')
  resumed.replaySpeech()
  resumed.hearCaller()
  assert.deepEqual(resumed.next(LOOK, 0), [{ kind: 'call', name: 'look', argumentsJson: '{"step":4}' }])
  const wordy = new Dialogue({ script, nowMs: 0 })
  for (let n = 0; n < 4; n++) wordy.replaySpeech()
  wordy.replayCall('look', '{"step":1}')
  wordy.hearOutput('{}')
  assert.deepEqual(words(wordy.next(LOOK, 0)), ['Step 1.'])
})

test('a script without tools calls a harmless one of the session by the clock', () => {
  const script: Script = { name: 'talk', loop: true, turns: [{ say: 'Hello.' }, { say: 'Yes.' }] }
  const dialogue = new Dialogue({ script, toolEveryMs: 1000, firstToolMs: 500, nowMs: 0 })
  const tools = [
    { name: 'transfer_to_human' },
    { name: 'end_call' },
    {
      name: 'look',
      parameters: { type: 'object', required: ['n'], properties: { n: { type: 'integer', minimum: 3 } } },
    },
  ]
  const turn = (nowMs: number) => {
    dialogue.hearCaller()
    return dialogue.next(tools, nowMs)
  }
  assert.deepEqual(words(turn(400)), ['Yes.'])
  assert.deepEqual(turn(600), [{ kind: 'call', name: 'look', argumentsJson: '{"n":3}' }])
  dialogue.hearOutput('{}')
  assert.deepEqual(words(dialogue.next(tools, 700)), ['Yes.'])
  assert.deepEqual(words(turn(1500)), ['Yes.'])
  assert.deepEqual(words(turn(1700)), ['call look'])
})

test('[A1] [P8] every second answer calls a tool or a handoff of the session, each in turn, and says what it gave', () => {
  const script: Script = { name: 'talk', loop: true, turns: [{ say: 'Hello.' }, { say: 'Yes.' }, { say: 'Good.' }] }
  const dialogue = new Dialogue({ script, toolEveryAnswers: 2, nowMs: 0 })
  const number = { type: 'object', required: ['to'], properties: { to: { type: 'string' } } }
  const tools = [
    ...[
      { name: 'end_call' },
      { name: 'hangUp' },
      { name: 'transferCall' },
      { name: 'transfer_to_person', parameters: number },
    ],
    ...[{ name: 'look' }, { name: 'transfer_to_Orders', parameters: { type: 'object', properties: {} } }],
  ]
  assert.deepEqual(words(dialogue.next(tools, 0)), ['Hello.'])
  const answered = (output: string): string[] => {
    dialogue.hearCaller()
    const first = words(dialogue.next(tools, 0))
    if (!first[0]?.startsWith('call ')) return first
    assert.equal(dialogue.hearOutput(output), true)
    return [...first, ...words(dialogue.next(tools, 0))]
  }
  assert.deepEqual(answered('{"free":["nine","ten"]}'), ['call look', 'I have used look. It says: free : nine , ten'])
  assert.deepEqual(answered(''), ['Good.'])
  assert.deepEqual(answered('{"assistant":"Orders"}').slice(0, 1), ['call transfer_to_Orders'])
  assert.equal(answered('').length, 1)
  assert.deepEqual(answered('x'.repeat(300)), ['call look', `I have used look. It says: ${'x'.repeat(160)}, and so on`])
  assert.equal(answered('').length, 1)
  assert.deepEqual(answered('').slice(0, 1), ['call transfer_to_Orders'])
})

test('[D2] templates are filled from paths, indexes and fallbacks', () => {
  const values = { slots: [{ id: 's1', n: 3 }] }
  assert.equal(fill('{{slots.0.id}} {{slots.1.id|none left}} {{slots.0.n}} [{{nothing}}]', values), 's1 none left 3 []')
  assert.deepEqual(fillDeep({ a: ['{{slots.0.id}}'], b: 2 }, values), { a: ['s1'], b: 2 })
})

test('[D3] a broken script is reported with all that is wrong', () => {
  const read = readScript({ turns: [{}, { say: 3 }, { call: { name: 1 } }] })
  assert.equal(read.kind, 'broken')
  assert.equal(read.kind === 'broken' && read.problems.length, 4)
  assert.equal(readScript(null).kind, 'broken')
})

test('[C1] the clinic script is chosen by its tools, else the conversation; a new script comes first', () => {
  const catalogue = new Catalogue()
  assert.equal(catalogue.choose(['book_appointment', 'find_available_slots', 'x']).name, 'clinic-front-desk')
  assert.equal(catalogue.choose(['book_appointment']).name, 'conversation')
  catalogue.add(SCRIPT)
  assert.equal(catalogue.choose([]).name, 'test')
  assert.ok(catalogue.setDefault('conversation'))
  assert.equal(catalogue.choose([]).name, 'conversation')
  assert.equal(catalogue.setDefault('nobody'), false)
})

test('minimal arguments satisfy the plain keywords of a schema', () => {
  const parameters = {
    type: 'object',
    required: ['kind', 'when', 'tags', 'who', 'maybe'],
    properties: {
      kind: { enum: ['a', 'b'] },
      when: { type: 'string', format: 'date' },
      tags: { type: 'array', minItems: 1, items: { type: 'boolean' } },
      who: { type: 'object', required: ['name'], properties: { name: { type: 'string', minLength: 12 } } },
      maybe: { anyOf: [{ type: 'null' }, { type: 'string' }] },
      left: { type: 'string' },
    },
  }
  assert.deepEqual(minimalArguments(parameters), {
    kind: 'made',
    arguments: {
      kind: 'a',
      when: '2030-01-07',
      tags: [false],
      who: { name: 'check-up....' },
      maybe: null,
    },
  })
  assert.deepEqual(minimalArguments(undefined), { kind: 'made', arguments: {} })
})

const ofOne = (schema: object) =>
  minimalArguments({ type: 'object', required: ['v'], properties: { v: schema }, $defs: { code: { const: 7 } } })

test('[MA1] [P68] a value fits the pattern, the lengths and the bounds of its schema', () => {
  const patterns = [
    ...[/^ORD-\d{6}$/, /^\d{5}(-\d{4})?$/, /^[A-ZÄÖÜ]{1,3}-[A-Z]{1,2} \d{1,4}[EH]?$/, /^\+[1-9]\d{6,14}$/],
    ...[
      /^(?:GB|DE)\s[^a-z]+\.(csv|txt)$/,
      /^\p{Lu}[\w'-]+?$/u,
      /^[а-я]{3}$/,
      /x.z\u0041\x42\//,
      /^(?<year>\d{4})\/\w*$/,
    ],
    ...[/^[\]^-]\[{2,}\(\)$/, /^$/, /^a{2}b{0,3}c{1,}$/, /^\bcheck\B.*\b$/],
  ]
  for (const pattern of patterns) {
    const made = ofOne({ type: 'string', pattern: pattern.source })
    assert.ok(made.kind === 'made', pattern.source)
    assert.match(String(made.arguments.v), pattern)
  }
  const others: [object, unknown][] = [
    [{ type: 'string', pattern: '^(?:ab|c)+$', minLength: 7 }, 'abababab'],
    [{ type: 'string', maxLength: 3 }, 'che'],
    [{ type: 'string', format: 'uuid', pattern: '^[0-9a-f-]{36}$' }, '6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d'],
    [{ type: 'string', format: 'time', pattern: '^\\d\\d:\\d\\d$' }, '11:11'],
    [{ type: 'number', maximum: -5 }, -5],
    [{ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 0.5 }, 0.25],
    [{ type: 'integer', multipleOf: 15, minimum: 20 }, 30],
    [{ allOf: [{ type: 'string' }, { pattern: '^A\\d$' }] }, 'A1'],
    [{ anyOf: [{ type: 'string', pattern: '^\\b$' }, { type: 'integer' }] }, 1],
    [{ $ref: '#/$defs/code' }, 7],
  ]
  for (const [schema, v] of others) assert.deepEqual(ofOne(schema), { kind: 'made', arguments: { v } })
})

test('[MA2] [P68] where nothing fits there are no arguments, and the place is named', () => {
  const unmade: object[] = [
    ...['^(a|b)\\1$', '^(?=.*\\d)(?=.*[a-z]).{8,}$', '^\\b$', '(', '((a{1000}){1000}){1000}'].map((pattern) => ({
      type: 'string',
      pattern,
    })),
    { type: 'string', pattern: '^[A-Z]{3}$', minLength: 4 },
    { type: 'integer', minimum: 0.2, maximum: 0.8 },
    { type: 'string', not: { const: 'check-up' } },
    { allOf: [{ pattern: '^A' }, { pattern: 'B$' }] },
    { $ref: '#/somewhere/else' },
  ]
  for (const schema of unmade) assert.deepEqual(ofOne(schema), { kind: 'unmade', path: 'v' }, JSON.stringify(schema))
  const deep = { type: 'array', minItems: 1, items: { type: 'object', required: ['w'], properties: { w: unmade[0] } } }
  assert.deepEqual(ofOne(deep), { kind: 'unmade', path: 'v[].w' })
})

test('[P8] [P68] a tool for which no arguments can be made is not called, and that is said aloud', () => {
  const script: Script = { name: 'talk', loop: true, turns: [{ say: 'Hello.' }, { say: 'Yes.' }, { say: 'Good.' }] }
  const properties = { code: { type: 'string', pattern: '^(a|b)\\1$' } }
  const tools = [{ name: 'check', parameters: { type: 'object', required: ['code'], properties } }, { name: 'look' }]
  const dialogue = new Dialogue({ script, toolEveryAnswers: 1, nowMs: 0 })
  assert.deepEqual(words(dialogue.next(tools, 0)), ['Hello.'])
  dialogue.hearCaller()
  const said = 'I cannot call the tool check: I am offline and find no value for its parameter code.'
  assert.deepEqual(words(dialogue.next(tools, 0)), [said])
  dialogue.hearCaller()
  assert.deepEqual(words(dialogue.next(tools, 0)), ['call look'])
})
