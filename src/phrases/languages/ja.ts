// Japanese: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const ja = {
  say: 'ja-JP',
  regions: [],
  phrases: {
    hold: 'ただいま電話が大変混み合っております。そのままお待ちください。',
    next: '次におつなぎいたします。',
    ahead: { other: 'お客様の前に{n}名の方がお待ちです。' },
    soon: '待ち時間は1分未満です。',
    minutes: { other: '待ち時間はおよそ{n}分です。' },
    moment: '少々お待ちください。',
    human: '担当者におつなぎいたします。',
    full: '申し訳ございません。ただいま回線が混み合っております。数分後におかけ直しください。',
    busy: '申し訳ございません。ただいま回線が混み合っております。しばらくしてからおかけ直しください。',
    sorry: '申し訳ございません。この通話を続けることができません。後ほどおかけ直しください。',
    notReached: '申し訳ございません。担当者につながりませんでした。後ほどおかけ直しください。',
    voicemail: '発信音の後にメッセージをお話しください。終わりましたらシャープを押してください。',
    voicemailTaken: 'メッセージをお預かりしました。ありがとうございました。',
    callBackHere: 'この番号への折り返しをご希望の方は、1を押してください。',
    callBackTaken: 'ありがとうございます。折り返しお電話いたします。失礼いたします。',
  },
} as const satisfies LanguageFile
