// Danish: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const da = {
  say: 'da-DK',
  regions: [],
  phrases: {
    hold: 'Alle vores linjer er optaget. Bliv venligst i røret.',
    next: 'Du er den næste i køen.',
    ahead: { one: 'Der er {n} opkald foran dig i køen.', other: 'Der er {n} opkald foran dig i køen.' },
    soon: 'Ventetiden er mindre end et minut.',
    minutes: { one: 'Ventetiden er cirka {n} minut.', other: 'Ventetiden er cirka {n} minutter.' },
    moment: 'Et øjeblik.',
    human: 'Vi stiller dig nu om til en medarbejder.',
    full: 'Vi beklager, alle vores linjer er optaget. Ring venligst igen om et par minutter.',
    busy: 'Vi beklager, alle linjer er stadig optaget. Ring venligst igen senere.',
    sorry: 'Vi beklager, vi kan ikke fortsætte dette opkald. Ring venligst igen senere.',
    notReached: 'Vi kunne desværre ikke få fat i nogen. Ring gerne igen senere.',
    voicemail: 'Læg en besked efter tonen. Tryk på firkant, når du er færdig.',
    voicemailTaken: 'Tak for din besked. Farvel.',
    callBackHere: 'Tryk 1, hvis du vil ringes op på dette nummer.',
    callBackTaken: 'Tak. Vi ringer dig op. Farvel.',
  },
} as const satisfies LanguageFile
