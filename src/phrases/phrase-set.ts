// Every sentence that a caller hears from the plane itself, as names and forms; languages/ holds the words, one file a language.
// What an agent says is not here: a model speaks it, in the language of the conversation.
// To change words: the file of the language. Nothing else.
// To add a phrase: its name here, its words in each file of languages/ (the compiler names those that lack it), then where it is said:
//   languageOf(tag).phrases.<name>.
// To add a language: copy languages/en.ts, name its voice, translate each phrase, give each plural form that language.test.ts asks for,
//   and add it to languages.ts. A voice that the carrier lacks does not compile (src/carrier/twilio/answers/twiml.ts).

/** A phrase with a number in it, by plural category; `{n}` stands for the number. */
export type Counted = { other: string } & Partial<Record<'one' | 'few' | 'many', string>>

/** What a file of languages/ holds. */
export type LanguageFile = {
  /** The code that speaks it. */
  say: string
  /** Other codes of the same language that have a voice. */
  regions: readonly string[]
  phrases: PhraseSet
}

export type PhraseSet = {
  /** Said once, when the waiting begins. */
  hold: string
  next: string
  ahead: Counted
  soon: string
  minutes: Counted
  moment: string
  human: string
  /** No line is free, and there is no waiting. */
  full: string
  /** The waiting was in vain. */
  busy: string
  /** The call cannot go on. */
  sorry: string
  /** A transfer that nobody answered. */
  notReached: string
  voicemail: string
  voicemailTaken: string
  callBackHere: string
  callBackTaken: string
}
