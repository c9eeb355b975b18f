// What the code of an agent may not do to the process that it shares with all calls. Rules:
// AF1: `process.exit` throws where it is called, once the agent was loaded: a tool fails as when it throws, and every call goes on.
// AF2: what the agent's code throws out of a timer or an event is a log line with its place, as a promise of its own that fails is.
// AF3: what the plane's own code throws so still ends the process: nobody knows what is true in it, and its calls go on in other pods.
import { inspect } from 'node:util'
import type { Log } from '../kit/log.ts'
import { describeThrown, ExitCalled, isThrownByAgent, refuseExits } from './agent-import.ts'

/** Holds what agents do, for the life of the process. `fail` ends it: called with the text of what the plane itself has thrown. */
export function holdAgentFaults(log: Log, fail: (text: string) => void): void {
  refuseExits((what) =>
    log.error({ code: 'AGENT_FAILED', reason: what }, 'the agent would end the process of all calls: refused'),
  )
  process.on('unhandledRejection', (reason) =>
    log.error({ code: 'AGENT_FAILED', reason: describeThrown(reason) }, 'a promise failed unseen'),
  )
  process.on('uncaughtException', (error: unknown) => {
    // An exit that was refused was told when it was called.
    if (error instanceof ExitCalled) return
    if (isThrownByAgent(error))
      log.error({ code: 'AGENT_FAILED', reason: describeThrown(error) }, 'code of the agent threw outside of any call')
    else fail(inspect(error))
  })
}
