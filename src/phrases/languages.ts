// Every language that the plane speaks. A new one is a file in languages/ and its two lines here (phrase-set.ts says how).
import { da } from './languages/da.ts'
import { de } from './languages/de.ts'
import { en } from './languages/en.ts'
import { es } from './languages/es.ts'
import { fi } from './languages/fi.ts'
import { fr } from './languages/fr.ts'
import { it } from './languages/it.ts'
import { ja } from './languages/ja.ts'
import { ko } from './languages/ko.ts'
import { nb } from './languages/nb.ts'
import { nl } from './languages/nl.ts'
import { pl } from './languages/pl.ts'
import { pt } from './languages/pt.ts'
import { sv } from './languages/sv.ts'
import { tr } from './languages/tr.ts'

export const LANGUAGES = { en, es, fr, de, it, pt, nl, pl, sv, da, nb, fi, tr, ja, ko } as const

type File = (typeof LANGUAGES)[keyof typeof LANGUAGES]

/** A code of a voice, with its region. The carrier's own types say whether it has that voice: the compiler holds PH3. */
export type VoiceCode = File['say'] | File['regions'][number]
