// French: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const fr = {
  say: 'fr-FR',
  regions: ['fr-CA', 'fr-BE'],
  phrases: {
    hold: 'Toutes nos lignes sont occupées. Merci de rester en ligne.',
    next: 'Vous êtes le prochain appel.',
    ahead: { one: 'Il y a {n} appel avant le vôtre.', other: 'Il y a {n} appels avant le vôtre.' },
    soon: "L'attente est de moins d'une minute.",
    minutes: { one: "L'attente est d'environ {n} minute.", other: "L'attente est d'environ {n} minutes." },
    moment: 'Un instant, je vous prie.',
    human: 'Nous vous mettons en relation avec un membre de notre équipe.',
    full: 'Nous sommes désolés, toutes nos lignes sont occupées. Merci de rappeler dans quelques minutes.',
    busy: 'Nous sommes désolés, toutes nos lignes sont encore occupées. Merci de rappeler plus tard.',
    sorry: 'Nous sommes désolés, nous ne pouvons pas poursuivre cet appel. Merci de rappeler plus tard.',
    notReached: "Nous sommes désolés, personne n'a pu être joint. Merci de rappeler plus tard.",
    voicemail: 'Laissez votre message après le signal sonore. Appuyez sur la touche dièse pour terminer.',
    voicemailTaken: 'Merci pour votre message. Au revoir.',
    callBackHere: 'Pour être rappelé à ce numéro, appuyez sur 1.',
    callBackTaken: 'Merci. Nous vous rappellerons. Au revoir.',
  },
} as const satisfies LanguageFile
