// The caller's language: which phrases, which voice, which plural. Rules:
// PH1: a tag is looked up whole, then by its language alone; what is not known is said in English.
// PH2: every language has every phrase, and each plural form that its grammar asks for up to COUNTED_MAX.
// PH4: who carries no language yet, as at the first question or after a stream, is spoken to in CALLER_LANGUAGE, whatever is said.
// PH3: the code that speaks is one that the carrier has a voice for; a region of the caller's that has a voice is kept.
import { LANGUAGES, type VoiceCode } from './languages.ts'
import type { Counted, PhraseSet } from './phrase-set.ts'

/** Larger numbers are said as this one: a caller need not know more exactly. */
export const COUNTED_MAX = 200
/** Tags of the same tongue under another code. */
const ALIASES: Readonly<Record<string, string>> = { no: 'nb', nn: 'nb' }
const TAG_CHARACTERS_MAX = 35 // the longest that BCP 47 asks to be kept; a longer one is not looked at

export type Language = {
  /** The code of the voice, with its region. */
  say: VoiceCode
  phrases: PhraseSet
  /** The phrase for `n`, its number in place. */
  counted(phrase: Counted, n: number): string
}

const known = new Map<string, Language>()

/** The language of a BCP 47 tag; English for anything that is not known. */
export function languageOf(tag: string | undefined): Language {
  const asked = tag === undefined || tag.length > TAG_CHARACTERS_MAX ? 'en' : tag.replaceAll('_', '-').toLowerCase()
  const first = asked.split('-')[0] ?? ''
  const primary = ALIASES[first] ?? first
  const name = isKnown(primary) ? primary : 'en'
  const { say, regions } = LANGUAGES[name]
  const codes: readonly VoiceCode[] = name === primary ? regions : []
  const region = codes.find((code) => code.toLowerCase() === asked)
  return made(name, region ?? say)
}

const isKnown = (name: string): name is keyof typeof LANGUAGES => Object.hasOwn(LANGUAGES, name)

/** At most one for each voice. */
function made(name: keyof typeof LANGUAGES, say: VoiceCode): Language {
  const before = known.get(say)
  if (before !== undefined) return before
  const plurals = new Intl.PluralRules(name)
  const language: Language = {
    say,
    phrases: LANGUAGES[name].phrases,
    counted(phrase, n) {
      const shown = Math.min(COUNTED_MAX, Math.max(0, Math.ceil(n)))
      const form = phrase[plurals.select(shown) as keyof Counted] ?? phrase.other
      return form.replace('{n}', String(shown))
    },
  }
  known.set(say, language)
  return language
}
