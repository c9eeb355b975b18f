// A call's machine for tests: events in, effects kept, time told.
import { step } from '../machine.ts'
import type { ModelEvent } from '../ports.ts'
import { type CallEvent, type CallSettings, type CallState, type Effect, initialState } from '../state.ts'
import { testSettings } from './settings.ts'

export class Life {
  state: CallState = initialState()
  nowMs = 0
  /** Of all events until now. */
  readonly log: Effect[] = []
  readonly settings: CallSettings

  /** A call that is live, its stream and its model there. */
  constructor(settings: Partial<CallSettings> = {}) {
    this.settings = testSettings(settings)
    this.take({ kind: 'opened' })
    this.take({ kind: 'leg-opened' })
    this.model({ kind: 'ready', expiresInMs: undefined, renewed: false })
  }

  take(event: CallEvent): Effect[] {
    const { state, effects } = step({ ...this.state, lastedMs: this.nowMs }, event, this.settings)
    this.state = state
    this.log.push(...effects)
    return effects
  }

  model(event: ModelEvent): Effect[] {
    return this.take({ kind: 'model', event })
  }

  /** The caller speaks for `ms`, as the model hears it. */
  speaks(ms: number): Effect[] {
    const began = this.model({ kind: 'speech-started', itemId: 'u' })
    this.nowMs += ms
    return [...began, ...this.model({ kind: 'speech-stopped', itemId: 'u' })]
  }

  /** The agent says `responseId`, whole. */
  says(responseId: string): void {
    this.model({ kind: 'response-started', responseId })
    this.take({ kind: 'audio-begun', responseId })
    this.model({ kind: 'response-ended', responseId, status: 'completed' })
  }

  has(kind: Effect['kind']): boolean {
    return this.log.some((effect) => effect.kind === kind)
  }

  counted(code: string): number {
    return this.log.filter((effect) => effect.kind === 'count' && effect.code === code).length
  }
}

export const kinds = (effects: readonly Effect[]): string[] => effects.map(({ kind }) => kind)
