// Polish: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const pl = {
  say: 'pl-PL',
  regions: [],
  phrases: {
    hold: 'Wszystkie linie są zajęte. Prosimy pozostać na linii.',
    next: 'Jesteś następną osobą w kolejce.',
    ahead: {
      one: 'Przed tobą czeka {n} osoba.',
      few: 'Przed tobą czekają {n} osoby.',
      many: 'Przed tobą czeka {n} osób.',
      other: 'Przed tobą czeka {n} osoby.',
    },
    soon: 'Czas oczekiwania to mniej niż minuta.',
    minutes: {
      one: 'Czas oczekiwania to około {n} minuty.',
      few: 'Czas oczekiwania to około {n} minut.',
      many: 'Czas oczekiwania to około {n} minut.',
      other: 'Czas oczekiwania to około {n} minuty.',
    },
    moment: 'Chwileczkę, proszę.',
    human: 'Łączymy teraz z naszym pracownikiem.',
    full: 'Przepraszamy, wszystkie linie są zajęte. Prosimy zadzwonić za kilka minut.',
    busy: 'Przepraszamy, wszystkie linie są nadal zajęte. Prosimy zadzwonić później.',
    sorry: 'Przepraszamy, nie możemy kontynuować tej rozmowy. Prosimy zadzwonić później.',
    notReached: 'Przepraszamy, nie udało się z nikim połączyć. Prosimy zadzwonić później.',
    voicemail: 'Prosimy zostawić wiadomość po sygnale. Na koniec prosimy nacisnąć krzyżyk.',
    voicemailTaken: 'Dziękujemy za wiadomość. Do widzenia.',
    callBackHere: 'Jeśli mamy oddzwonić na ten numer, prosimy nacisnąć 1.',
    callBackTaken: 'Dziękujemy. Oddzwonimy. Do widzenia.',
  },
} as const satisfies LanguageFile
