// An output guardrail: what the agent must never say is caught while it says it.
import { RealtimeAgent, type RealtimeSessionOptions } from '@openai/agents-realtime'

const FORBIDDEN = /\bguaranteed? (profits?|returns?)\b/i

export const agent = new RealtimeAgent({
  name: 'Savings',
  instructions: 'You explain savings accounts in plain words. You promise nothing.',
})

export const options: Partial<RealtimeSessionOptions> = {
  outputGuardrails: [
    {
      name: 'No promise of profit',
      policyHint: 'Do not promise a profit; say that value can fall as well as rise.',
      execute: async ({ agentOutput }) => {
        const promised = FORBIDDEN.exec(agentOutput)?.[0]
        return { tripwireTriggered: promised !== undefined, outputInfo: { promised } }
      },
    },
  ],
  outputGuardrailSettings: { debounceTextLength: 40 },
}
