// The job `analysis`: what the call was about and how it went. Rules:
// JA1: a call in which nothing was said is judged by the rules, without asking a model.
import type { ModelAnalyser } from '../analysis/model.ts'
import { analyseByRules } from '../analysis/rules.ts'
import type { Job } from '../job.ts'
import type { FindMaterial } from './material.ts'

/** Makes the job; `model` undefined: the rules judge. */
export function makeAnalysisJob(parts: { find: FindMaterial; model: ModelAnalyser | undefined }): Job {
  return {
    type: 'analysis',
    async run(item, { signal }) {
      const material = await parts.find(item.callSid)
      if (material === undefined) return { kind: 'skipped', reason: 'the call is gone' }
      const isSilent = !material.said.some(({ who }) => who === 'caller')
      if (parts.model === undefined || isSilent) return { kind: 'analysis', analysis: analyseByRules(material) }
      const answer = await parts.model(material, signal)
      return answer.kind === 'analysed' ? { kind: 'analysis', analysis: answer.analysis } : answer
    },
  }
}
