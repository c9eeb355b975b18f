// Languages: whole, spoken by a voice that exists, and grammatical in their numbers.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { COUNTED_MAX, languageOf } from './language.ts'
import { LANGUAGES } from './languages.ts'
import type { Counted, LanguageFile } from './phrase-set.ts'

const files: readonly (readonly [string, LanguageFile])[] = Object.entries(LANGUAGES)

test('[PH1] a tag is found whole, by its language, under another code of its tongue, or is English', () => {
  for (const [tag, say] of [
    ['de', 'de-DE'],
    ['de-CH', 'de-DE'],
    ['fr-CA', 'fr-CA'],
    ['FR_ca', 'fr-CA'],
    ['en-GB', 'en-GB'],
    ['es-419', 'es-ES'],
    ['no', 'nb-NO'],
    ['nn-NO', 'nb-NO'],
    ['ja', 'ja-JP'],
    ['xx', 'en-US'],
    ['', 'en-US'],
    [undefined, 'en-US'],
    ['__proto__', 'en-US'],
    ['constructor', 'en-US'],
    [`de-${'x'.repeat(500)}`, 'en-US'],
  ] as const)
    assert.equal(languageOf(tag).say, say, `${tag}`)
})

test('[PH1] a region changes the voice, not the words', () => {
  assert.equal(languageOf('fr-CA').phrases, languageOf('fr').phrases)
  assert.notEqual(languageOf('fr').phrases, languageOf('en').phrases)
})

test('[PH2] at least twelve languages, each with every phrase and a voice', () => {
  assert.ok(files.length >= 12, `${files.length}`)
  const phrases = Object.keys(LANGUAGES.en.phrases)
  for (const [name, file] of files) {
    assert.deepEqual(Object.keys(file.phrases), phrases, name)
    for (const [phrase, words] of Object.entries(file.phrases)) {
      const forms = typeof words === 'string' ? [words] : Object.values(words as Counted)
      for (const form of forms) {
        assert.ok(form.trim().length > 0 && form.length < 200, `${name} ${phrase}`)
        assert.equal(form.includes('{n}'), typeof words !== 'string', `${name} ${phrase}`)
      }
    }
  }
})

test('[PH2] no plural form that the grammar asks for is absent', () => {
  for (const [name, { phrases }] of files) {
    const rules = new Intl.PluralRules(name)
    const categories = new Set(Array.from({ length: COUNTED_MAX + 1 }, (_, n) => rules.select(n)))
    for (const counted of [phrases.ahead, phrases.minutes]) {
      for (const category of categories) assert.ok(category in counted, `${name} ${category}`)
    }
  }
})

test('[PH2] numbers are said in the right form, rounded up, and bounded', () => {
  const said = (tag: string, n: number) => languageOf(tag).counted(languageOf(tag).phrases.ahead, n)
  assert.equal(said('en', 1), 'There is 1 caller ahead of you.')
  assert.equal(said('en', 2), 'There are 2 callers ahead of you.')
  assert.match(said('pl', 1), /czeka 1 osoba/)
  assert.match(said('pl', 3), /czekają 3 osoby/)
  assert.match(said('pl', 5), /czeka 5 osób/)
  assert.match(said('ja', 4), /4名/)
  const { counted, phrases } = languageOf('de')
  assert.match(counted(phrases.minutes, 1.2), /2 Minuten/)
  assert.match(counted(phrases.minutes, 0.4), /1 Minute\./)
  assert.match(counted(phrases.minutes, 1e9), new RegExp(`${COUNTED_MAX} Minuten`))
  assert.match(counted(phrases.minutes, -3), /0 Minuten/)
})

test('[PH3] every voice is a code of its own language', () => {
  for (const [name, { say, regions }] of files) {
    for (const code of [say, ...regions]) assert.equal(code.split('-')[0], name)
    assert.deepEqual([...new Set([say, ...regions])], [say, ...regions], name)
  }
})

test('[PH2] every file of languages/ is a language that is spoken', () => {
  const named = readdirSync(join(import.meta.dirname, 'languages')).map((file) => file.replace(/\.ts$/, ''))
  assert.deepEqual(named.sort(), Object.keys(LANGUAGES).sort())
})
