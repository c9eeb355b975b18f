// Turkish: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const tr = {
  say: 'tr-TR',
  regions: [],
  phrases: {
    hold: 'Tüm hatlarımız dolu. Lütfen hatta kalın.',
    next: 'Sıradaki kişi sizsiniz.',
    ahead: { one: 'Önünüzde {n} kişi var.', other: 'Önünüzde {n} kişi var.' },
    soon: 'Bekleme süresi bir dakikadan az.',
    minutes: { one: 'Bekleme süresi yaklaşık {n} dakika.', other: 'Bekleme süresi yaklaşık {n} dakika.' },
    moment: 'Bir dakika lütfen.',
    human: 'Sizi şimdi ekibimizden birine bağlıyoruz.',
    full: 'Üzgünüz, tüm hatlarımız dolu. Lütfen birkaç dakika sonra tekrar arayın.',
    busy: 'Üzgünüz, tüm hatlarımız hâlâ dolu. Lütfen daha sonra tekrar arayın.',
    sorry: 'Üzgünüz, bu görüşmeye devam edemiyoruz. Lütfen daha sonra tekrar arayın.',
    notReached: 'Üzgünüz, kimseye ulaşılamadı. Lütfen daha sonra tekrar arayın.',
    voicemail: 'Lütfen sinyal sesinden sonra mesajınızı bırakın. Bitirdiğinizde kare tuşuna basın.',
    voicemailTaken: 'Mesajınız için teşekkür ederiz. Hoşça kalın.',
    callBackHere: 'Sizi bu numaradan geri aramamızı isterseniz 1 tuşuna basın.',
    callBackTaken: 'Teşekkür ederiz. Sizi geri arayacağız. Hoşça kalın.',
  },
} as const satisfies LanguageFile
