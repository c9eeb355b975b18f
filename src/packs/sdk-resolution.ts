// One copy of the agents SDK. Rules:
// SR1: an operator's module brings, more often than not, its own copy of the SDK. The SDK recognises a background
//     result by a symbol and an agent by its class, so two copies in one process do not understand each other:
//     what the module imports of it is resolved to the plane's copy.
// SR3: `require` gets the same copy as `import`: the SDK is published twice, as modules and as CommonJS, with classes of
//     their own.
import { registerHooks } from 'node:module'

const SDK = /^@openai\/agents(?:-core|-realtime|-openai)?(?:\/.+)?$/
/** The bundle keeps the realtime part under a path of its own. */
const BUNDLED = { '@openai/agents/realtime': '@openai/agents-realtime' } as const

let isRegistered = false

/** Resolves the SDK's packages to the plane's copy from now on, for every module of this process. Idempotent. */
export function shareSdk(): void {
  if (isRegistered) return
  isRegistered = true
  const urls = new Map<string, string | undefined>()
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (!SDK.test(specifier) || context.parentURL === import.meta.url) return nextResolve(specifier, context)
      if (!urls.has(specifier)) urls.set(specifier, ownUrlOf(specifier))
      const url = urls.get(specifier)
      if (url === undefined) return nextResolve(specifier, context)
      return { url, format: 'module', shortCircuit: true }
    },
  })
}

/** Where the plane itself finds it, as a module. Undefined when this version of the SDK has no such part. */
function ownUrlOf(specifier: string): string | undefined {
  try {
    return import.meta.resolve(BUNDLED[specifier as keyof typeof BUNDLED] ?? specifier)
  } catch {
    return undefined
  }
}
