// Norwegian Bokmål: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const nb = {
  say: 'nb-NO',
  regions: [],
  phrases: {
    hold: 'Alle linjene våre er opptatt. Vennligst vent på linjen.',
    next: 'Du er den neste i køen.',
    ahead: { one: 'Det er {n} samtale foran deg i køen.', other: 'Det er {n} samtaler foran deg i køen.' },
    soon: 'Ventetiden er under ett minutt.',
    minutes: { one: 'Ventetiden er omtrent {n} minutt.', other: 'Ventetiden er omtrent {n} minutter.' },
    moment: 'Et øyeblikk.',
    human: 'Vi setter deg nå over til en medarbeider.',
    full: 'Beklager, alle linjene våre er opptatt. Vennligst ring igjen om noen minutter.',
    busy: 'Beklager, alle linjene er fortsatt opptatt. Vennligst ring igjen senere.',
    sorry: 'Beklager, vi kan ikke fortsette denne samtalen. Vennligst ring igjen senere.',
    notReached: 'Vi kunne dessverre ikke få tak i noen. Ring gjerne igjen senere.',
    voicemail: 'Legg igjen en beskjed etter tonen. Trykk på firkant når du er ferdig.',
    voicemailTaken: 'Takk for beskjeden. Ha det bra.',
    callBackHere: 'Trykk 1 hvis du vil bli ringt opp på dette nummeret.',
    callBackTaken: 'Takk. Vi ringer deg opp. Ha det bra.',
  },
} as const satisfies LanguageFile
