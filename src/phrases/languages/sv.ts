// Swedish: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const sv = {
  say: 'sv-SE',
  regions: [],
  phrases: {
    hold: 'Alla våra linjer är upptagna. Var vänlig stanna kvar i luren.',
    next: 'Du är näst på tur.',
    ahead: { one: 'Det är {n} samtal före dig i kön.', other: 'Det är {n} samtal före dig i kön.' },
    soon: 'Väntetiden är mindre än en minut.',
    minutes: { one: 'Väntetiden är ungefär {n} minut.', other: 'Väntetiden är ungefär {n} minuter.' },
    moment: 'Ett ögonblick.',
    human: 'Vi kopplar dig nu till en medarbetare.',
    full: 'Alla våra linjer är tyvärr upptagna. Ring gärna igen om några minuter.',
    busy: 'Alla linjer är tyvärr fortfarande upptagna. Ring gärna igen senare.',
    sorry: 'Vi kan tyvärr inte fortsätta det här samtalet. Ring gärna igen senare.',
    notReached: 'Vi kunde tyvärr inte nå någon. Ring gärna igen senare.',
    voicemail: 'Lämna ett meddelande efter tonen. Tryck på fyrkant när du är klar.',
    voicemailTaken: 'Tack för ditt meddelande. Hej då.',
    callBackHere: 'Vill du bli uppringd på det här numret, tryck 1.',
    callBackTaken: 'Tack. Vi ringer upp dig. Hej då.',
  },
} as const satisfies LanguageFile
