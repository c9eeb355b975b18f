// English: the voice that speaks it, and what callers hear from the plane itself.
import type { LanguageFile } from '../phrase-set.ts'

export const en = {
  say: 'en-US',
  regions: ['en-GB', 'en-AU', 'en-CA', 'en-IN', 'en-IE', 'en-NZ', 'en-ZA'],
  phrases: {
    hold: 'All our lines are busy. Please stay on the line.',
    next: 'You are next.',
    ahead: { one: 'There is {n} caller ahead of you.', other: 'There are {n} callers ahead of you.' },
    soon: 'The wait is less than a minute.',
    minutes: { one: 'The wait is about {n} minute.', other: 'The wait is about {n} minutes.' },
    moment: 'One moment, please.',
    human: 'We are now connecting you with a member of our team.',
    full: 'We are sorry, all our lines are busy. Please call again in a few minutes.',
    busy: 'We are sorry, all our lines are still busy. Please call again later.',
    sorry: 'We are sorry, we cannot go on with this call. Please call again later.',
    notReached: 'We are sorry, nobody could be reached. Please call again later.',
    voicemail: 'Please leave a message after the tone. Press the hash key when you have finished.',
    voicemailTaken: 'Thank you for your message. Goodbye.',
    callBackHere: 'If you would like us to call you back on this number, press 1.',
    callBackTaken: 'Thank you. We will call you back. Goodbye.',
  },
} as const satisfies LanguageFile
