// Korean: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const ko = {
  say: 'ko-KR',
  regions: [],
  phrases: {
    hold: '지금은 모든 회선이 통화 중입니다. 끊지 말고 기다려 주십시오.',
    next: '다음 순서로 연결해 드리겠습니다.',
    ahead: { other: '앞에 {n}명이 대기하고 있습니다.' },
    soon: '예상 대기 시간은 1분 미만입니다.',
    minutes: { other: '예상 대기 시간은 약 {n}분입니다.' },
    moment: '잠시만 기다려 주십시오.',
    human: '지금 담당자에게 연결해 드리겠습니다.',
    full: '죄송합니다. 지금은 모든 회선이 통화 중입니다. 몇 분 후에 다시 전화해 주십시오.',
    busy: '죄송합니다. 아직 모든 회선이 통화 중입니다. 나중에 다시 전화해 주십시오.',
    sorry: '죄송합니다. 통화를 계속할 수 없습니다. 나중에 다시 전화해 주십시오.',
    notReached: '죄송합니다. 담당자와 연결되지 않았습니다. 나중에 다시 전화해 주세요.',
    voicemail: '삐 소리가 난 후 메시지를 남겨 주십시오. 끝나면 우물정자를 눌러 주십시오.',
    voicemailTaken: '메시지를 남겨 주셔서 감사합니다. 안녕히 계십시오.',
    callBackHere: '이 번호로 다시 전화 받기를 원하시면 1번을 눌러 주십시오.',
    callBackTaken: '감사합니다. 다시 전화드리겠습니다. 안녕히 계십시오.',
  },
} as const satisfies LanguageFile
