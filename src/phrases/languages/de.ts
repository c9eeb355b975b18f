// German: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const de = {
  say: 'de-DE',
  regions: ['de-AT'],
  phrases: {
    hold: 'Alle unsere Leitungen sind belegt. Bitte bleiben Sie am Apparat.',
    next: 'Sie sind als Nächstes an der Reihe.',
    ahead: { one: 'Vor Ihnen wartet noch {n} Anruf.', other: 'Vor Ihnen warten noch {n} Anrufe.' },
    soon: 'Die Wartezeit beträgt weniger als eine Minute.',
    minutes: {
      one: 'Die Wartezeit beträgt ungefähr {n} Minute.',
      other: 'Die Wartezeit beträgt ungefähr {n} Minuten.',
    },
    moment: 'Einen Moment bitte.',
    human: 'Wir verbinden Sie jetzt mit unserem Team.',
    full: 'Es tut uns leid, alle unsere Leitungen sind belegt. Bitte rufen Sie in einigen Minuten wieder an.',
    busy: 'Es tut uns leid, alle Leitungen sind noch belegt. Bitte rufen Sie später wieder an.',
    sorry: 'Es tut uns leid, wir können dieses Gespräch nicht fortsetzen. Bitte rufen Sie später wieder an.',
    notReached: 'Es tut uns leid, wir konnten niemanden erreichen. Bitte rufen Sie später wieder an.',
    voicemail: 'Bitte sprechen Sie nach dem Signalton. Drücken Sie zum Schluss die Rautetaste.',
    voicemailTaken: 'Vielen Dank für Ihre Nachricht. Auf Wiederhören.',
    callBackHere: 'Wenn wir Sie unter dieser Nummer zurückrufen sollen, drücken Sie die 1.',
    callBackTaken: 'Vielen Dank. Wir rufen Sie zurück. Auf Wiederhören.',
  },
} as const satisfies LanguageFile
