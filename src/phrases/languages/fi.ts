// Finnish: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const fi = {
  say: 'fi-FI',
  regions: [],
  phrases: {
    hold: 'Kaikki linjamme ovat varattuja. Pysykää linjalla.',
    next: 'Olette jonossa seuraavana.',
    ahead: { one: 'Edellänne on {n} soittaja.', other: 'Edellänne on {n} soittajaa.' },
    soon: 'Odotusaika on alle minuutin.',
    minutes: { one: 'Odotusaika on noin {n} minuutti.', other: 'Odotusaika on noin {n} minuuttia.' },
    moment: 'Pieni hetki.',
    human: 'Yhdistämme teidät nyt asiakaspalvelijalle.',
    full: 'Valitettavasti kaikki linjamme ovat varattuja. Soittakaa uudelleen muutaman minuutin kuluttua.',
    busy: 'Valitettavasti kaikki linjamme ovat yhä varattuja. Soittakaa myöhemmin uudelleen.',
    sorry: 'Emme valitettavasti voi jatkaa tätä puhelua. Soittakaa myöhemmin uudelleen.',
    notReached: 'Emme valitettavasti tavoittaneet ketään. Soittakaa myöhemmin uudelleen.',
    voicemail: 'Jättäkää viesti äänimerkin jälkeen. Painakaa lopuksi ruutua.',
    voicemailTaken: 'Kiitos viestistänne. Kuulemiin.',
    callBackHere: 'Jos haluatte, että soitamme teille takaisin tähän numeroon, painakaa 1.',
    callBackTaken: 'Kiitos. Soitamme teille takaisin. Kuulemiin.',
  },
} as const satisfies LanguageFile
