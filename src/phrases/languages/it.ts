// Italian: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const it = {
  say: 'it-IT',
  regions: [],
  phrases: {
    hold: 'Tutte le nostre linee sono occupate. La preghiamo di restare in linea.',
    next: 'La sua è la prossima chiamata.',
    ahead: { one: "C'è {n} chiamata prima della sua.", other: 'Ci sono {n} chiamate prima della sua.' },
    soon: "L'attesa è di meno di un minuto.",
    minutes: { one: "L'attesa è di circa {n} minuto.", other: "L'attesa è di circa {n} minuti." },
    moment: 'Un momento, per favore.',
    human: 'La mettiamo in contatto con una persona del nostro team.',
    full: 'Siamo spiacenti, tutte le nostre linee sono occupate. La preghiamo di richiamare tra qualche minuto.',
    busy: 'Siamo spiacenti, tutte le linee sono ancora occupate. La preghiamo di richiamare più tardi.',
    sorry: 'Siamo spiacenti, non possiamo proseguire questa chiamata. La preghiamo di richiamare più tardi.',
    notReached: 'Siamo spiacenti, non è stato possibile raggiungere nessuno. La preghiamo di richiamare più tardi.',
    voicemail: 'Lasci un messaggio dopo il segnale acustico. Al termine prema il tasto cancelletto.',
    voicemailTaken: 'Grazie per il suo messaggio. Arrivederci.',
    callBackHere: 'Se desidera essere richiamato a questo numero, prema 1.',
    callBackTaken: 'Grazie. La richiameremo. Arrivederci.',
  },
} as const satisfies LanguageFile
