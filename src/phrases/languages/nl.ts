// Dutch: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const nl = {
  say: 'nl-NL',
  regions: ['nl-BE'],
  phrases: {
    hold: 'Al onze lijnen zijn bezet. Blijft u alstublieft aan de lijn.',
    next: 'U bent de volgende die aan de beurt is.',
    ahead: { one: 'Er is nog {n} wachtende voor u.', other: 'Er zijn nog {n} wachtenden voor u.' },
    soon: 'De wachttijd is minder dan een minuut.',
    minutes: { one: 'De wachttijd is ongeveer {n} minuut.', other: 'De wachttijd is ongeveer {n} minuten.' },
    moment: 'Een ogenblik alstublieft.',
    human: 'We verbinden u nu door met een medewerker.',
    full: 'Het spijt ons, al onze lijnen zijn bezet. Belt u over enkele minuten nog eens.',
    busy: 'Het spijt ons, al onze lijnen zijn nog bezet. Belt u later nog eens.',
    sorry: 'Het spijt ons, we kunnen dit gesprek niet voortzetten. Belt u later nog eens.',
    notReached: 'Het spijt ons, we konden niemand bereiken. Belt u later nog eens.',
    voicemail: 'Spreek uw bericht in na de toon. Druk op het hekje als u klaar bent.',
    voicemailTaken: 'Bedankt voor uw bericht. Tot ziens.',
    callBackHere: 'Wilt u op dit nummer teruggebeld worden? Toets dan 1.',
    callBackTaken: 'Bedankt. We bellen u terug. Tot ziens.',
  },
} as const satisfies LanguageFile
