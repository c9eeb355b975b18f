// Spanish: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const es = {
  say: 'es-ES',
  regions: ['es-MX', 'es-US'],
  phrases: {
    hold: 'Todas nuestras líneas están ocupadas. Por favor, permanezca a la espera.',
    next: 'Usted es la siguiente persona en la cola.',
    ahead: { one: 'Hay {n} llamada antes que la suya.', other: 'Hay {n} llamadas antes que la suya.' },
    soon: 'La espera es de menos de un minuto.',
    minutes: { one: 'La espera es de {n} minuto aproximadamente.', other: 'La espera es de unos {n} minutos.' },
    moment: 'Un momento, por favor.',
    human: 'Le ponemos en contacto con una persona de nuestro equipo.',
    full: 'Lo sentimos, todas nuestras líneas están ocupadas. Por favor, vuelva a llamar dentro de unos minutos.',
    busy: 'Lo sentimos, todas nuestras líneas siguen ocupadas. Por favor, vuelva a llamar más tarde.',
    sorry: 'Lo sentimos, no podemos continuar con esta llamada. Por favor, vuelva a llamar más tarde.',
    notReached: 'Lo sentimos, no hemos podido localizar a nadie. Por favor, vuelva a llamar más tarde.',
    voicemail: 'Deje su mensaje después de la señal. Cuando termine, pulse la tecla almohadilla.',
    voicemailTaken: 'Gracias por su mensaje. Adiós.',
    callBackHere: 'Si desea que le llamemos a este número, pulse 1.',
    callBackTaken: 'Gracias. Le llamaremos. Adiós.',
  },
} as const satisfies LanguageFile
