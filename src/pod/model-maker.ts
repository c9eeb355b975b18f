// Config → model sessions: the pools to dial, what the plane puts where the agent is silent.

import { NEW_SESSION } from '../call/ports.ts'
import type { MakeModel } from '../call-control/pod-call.ts'
import type { Config } from '../config.ts'
import type { Clock } from '../kit/clock.ts'
import type { Wheel } from '../kit/wheel.ts'
import type { SettingRefusals } from '../model/openai/refused-fields.ts'
import { OpenAiSession, type SessionSettings } from '../model/openai/session.ts'
import type { SessionDefaults } from '../model/openai/session-shape.ts'
import { UnheardApprovals } from '../model/openai/unheard-approvals.ts'
import type { ModelPools } from '../model/pools/pools.ts'
import type { Routes } from '../model/route.ts'
import type { Pack } from '../packs/pack.ts'

const FRAMES_PER_APPEND_MAX = 5

/** Makes model sessions as the configuration says; the pool that a call was granted chooses where. */
export function modelMaker(
  config: Config,
  pack: Pack,
  pools: ModelPools,
  world: { clock: Clock; wheel: Wheel; liveCalls(): number },
  refusals: SettingRefusals,
): MakeModel {
  const { endpoint } = config.model
  const audio = pack.modelAudio ?? config.model.audio
  const link: SessionSettings['link'] = {
    connectMs: config.model.connectMs,
    bufferedMaxBytes: config.call.outboundBufferMaxBytes,
    audio,
    framesPerAppend: framesPerAppend(config, world.liveCalls),
  }
  const defaults = sessionDefaults(config, audio)
  const unheard = new UnheardApprovals()
  return (listener, packCall, log, start = NEW_SESSION, pool, movePool) => {
    const routes = pools.routesOf(pool, log, movePool)
    const { model } = packCall
    return new OpenAiSession(
      listener,
      packCall,
      {
        routes: model === undefined ? routes : withModel(routes, model),
        link,
        defaults,
        model: model ?? endpoint.model,
        toolMaxMs: config.model.toolMaxMs,
        refusals,
        unheard,
        joinsQuiet: config.model.appendCoalesce.kind === 'auto',
      },
      { clock: world.clock, wheel: world.wheel, log },
      start,
    )
  }
}

/** The same ways with the model that the agent's options name. Azure's address stays as it is: the deployment is the model. */
function withModel(routes: Routes, model: string): Routes {
  return {
    next(dial) {
      const way = routes.next(dial)
      if (way.kind !== 'go' || 'api-key' in way.route.headers) return way
      const url = new URL(way.route.url)
      url.searchParams.set('model', model)
      return { kind: 'go', route: { ...way.route, url } }
    },
  }
}

/** How many frames go in one append now: one, until the pod holds more calls than the threshold; then one more for each multiple of it, at most five. */
export function framesPerAppend(config: Config, liveCalls: () => number): () => number {
  const policy = config.model.appendCoalesce
  if (policy.kind === 'off') return () => 1
  if (policy.kind === 'always') return () => policy.frames
  return () => Math.min(FRAMES_PER_APPEND_MAX, Math.max(1, Math.ceil(liveCalls() / Math.max(1, policy.aboveCalls))))
}

/** SDK shape (camelCase) of what the agent may leave out. */
export function sessionDefaults(config: Config, audio: 'pcmu' | 'pcm16'): SessionDefaults {
  const { turnDetection: td, transcriptionModel: model, transcriptionLanguage: language } = config.model
  const turnDetection =
    td.kind === 'semantic'
      ? { type: 'semantic_vad', eagerness: td.eagerness }
      : {
          type: 'server_vad',
          threshold: td.threshold,
          prefixPaddingMs: td.prefixMs,
          silenceDurationMs: td.silenceMs,
          ...(td.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: td.idleTimeoutMs }),
        }
  return {
    audio,
    turnDetection,
    transcription: model === undefined ? null : { model, ...(language === undefined ? {} : { language }) },
    voice: undefined,
    bargeIn: true,
    autoRespond: true,
    maxOutputTokens: config.model.maxOutputTokens,
  }
}
