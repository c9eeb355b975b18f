// One copy of the agents SDK. Rules:
// SR1: an operator's module brings, more often than not, its own copy of the SDK. The SDK recognises a background
//     result by a symbol and an agent by its class, so two copies in one process do not understand each other:
//     what the module imports of it is resolved to the plane's copy.
// SR2: `@openai/agents` (the bundle that the SDK's documentation imports) may not be installed at all; its parts that a
//     voice agent needs are in the core package, which then stands in.
import { registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const REALTIME = '@openai/agents-realtime'
const CORE = '@openai/agents-core'

let isRegistered = false

/** Resolves the SDK's packages to the plane's copy from now on, for every module of this process. Idempotent. */
export function shareSdk(): void {
  if (isRegistered) return
  isRegistered = true
  const ownUrl = import.meta.url
  const realtimeUrl = import.meta.resolve(REALTIME)
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier === REALTIME || specifier === '@openai/agents/realtime') {
        return nextResolve(REALTIME, { ...context, parentURL: ownUrl })
      }
      if (specifier === CORE) return nextResolve(CORE, { ...context, parentURL: realtimeUrl })
      if (specifier !== '@openai/agents') return nextResolve(specifier, context)
      try {
        return nextResolve(specifier, context)
      } catch {
        return nextResolve(CORE, { ...context, parentURL: realtimeUrl })
      }
    },
  })
}

/** The URL of a file as `import()` wants it. */
export function moduleUrl(path: string): string {
  return pathToFileURL(path).href
}
