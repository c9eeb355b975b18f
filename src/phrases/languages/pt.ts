// Portuguese: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const pt = {
  say: 'pt-BR',
  regions: ['pt-PT'],
  phrases: {
    hold: 'Todas as nossas linhas estão ocupadas. Por favor, permaneça na linha.',
    next: 'A sua chamada é a próxima.',
    ahead: { one: 'Há {n} chamada à sua frente.', other: 'Há {n} chamadas à sua frente.' },
    soon: 'A espera é de menos de um minuto.',
    minutes: { one: 'A espera é de cerca de {n} minuto.', other: 'A espera é de cerca de {n} minutos.' },
    moment: 'Um momento, por favor.',
    human: 'Vamos transferir a sua chamada para uma pessoa da nossa equipe.',
    full: 'Lamentamos, todas as nossas linhas estão ocupadas. Por favor, ligue novamente dentro de alguns minutos.',
    busy: 'Lamentamos, todas as linhas ainda estão ocupadas. Por favor, ligue mais tarde.',
    sorry: 'Lamentamos, não podemos continuar esta chamada. Por favor, ligue mais tarde.',
    notReached: 'Lamentamos, não foi possível falar com ninguém. Por favor, ligue mais tarde.',
    voicemail: 'Deixe a sua mensagem após o sinal. Ao terminar, pressione a tecla jogo da velha.',
    voicemailTaken: 'Obrigado pela sua mensagem. Até logo.',
    callBackHere: 'Se deseja que liguemos de volta para este número, pressione 1.',
    callBackTaken: 'Obrigado. Vamos ligar de volta. Até logo.',
  },
} as const satisfies LanguageFile
