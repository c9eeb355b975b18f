// Role all: everything in one process, for a newcomer and for development. Without a key the offline model
// (a simulator that speaks the provider's protocol) runs as a child, and that is said plainly. Without DATABASE_URL the calls are kept in a
// database inside the process, and what follows them is done here too.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type ReadyChild, startReady } from './child.ts'
import { type Config, NO_KEY } from './config.ts'
import { runDemo, type Say } from './demo.ts'
import { type Edge, startEdge } from './edge.ts'
import type { Log } from './kit/log.ts'
import { SCOPES } from './ops/operators.ts'
import type { Pack } from './packs/pack.ts'
import { openEmbedded } from './pod/embedded/embedded.ts'
import { makePrivateFolder } from './pod/embedded/private-folder.ts'
import { closeWithin } from './stopping.ts'

/** How long the database inside the process may take to close. */
const CLOSE_MAX_MS = 10_000
const OFFLINE_MODEL = 'sim/openai/main.ts'

/** A running role all. */
interface All extends Edge {
  /** Whether the demonstration call was served; undefined when none was placed. */
  readonly demo: Promise<boolean | undefined>
}

/** Starts the offline model if needed, the edge, and the demonstration call. `root` is the folder of package.json. */
export async function startAll(options: {
  config: Config
  pack: Pack
  log: Log
  root: string
  say: Say
  /** See startEdge. */
  droppedLines?: () => number
}): Promise<All> {
  const { pack, log, root, say, droppedLines } = options
  let { config } = options
  let model: ReadyChild | undefined
  if (wantsEmbedded(config) || config.model.endpoint.kind === 'none' || config.demoCall !== false)
    makePrivateFolder(config.dataDir)
  // Both take seconds: they start side by side.
  const opening = wantsEmbedded(config) ? openEmbedded(config, log) : Promise.resolve(undefined)
  opening.catch(() => undefined)
  if (config.model.endpoint.kind === 'none') {
    model = await startReady(join(root, OFFLINE_MODEL), [
      ...['--speech-dir', join(config.dataDir, 'speech'), '--talk-s', String(config.offlineTalkS)],
      ...['--tool-every-answers', String(config.offlineToolEvery)],
    ])
    config = withModel(config, `${String(model.ready.url)}?model=${encodeURIComponent(config.model.endpoint.model)}`)
    say('No OPENAI_API_KEY is set: the OFFLINE MODEL answers. It speaks aloud and hears when you speak, but follows a')
    say('script and understands nothing. Set OPENAI_API_KEY for the real one.')
  }
  const madeToken = config.ops.operators.length === 0 ? randomBytes(24).toString('base64url') : undefined
  if (madeToken !== undefined) config = withOperator(config, madeToken)
  const embedded = await opening
  if (embedded !== undefined && embedded.folder === undefined)
    say('Another process has the database of DATA_DIR: the records of this one end with it.')
  const edge = await startEdge({ config, pack, log, droppedLines, ...(embedded ?? {}) })
  say(
    `Voiceplane answers on ${edge.url} (pod ${config.podName}, pack ${pack.name}). Point your carrier's voice webhook to POST /twilio/voice.`,
  )
  if (madeToken !== undefined)
    say(`For operators, until this process ends: curl -H 'Authorization: Bearer ${madeToken}' ${edge.opsUrl}/metrics`)
  const abort = new AbortController()
  const wantsDemo = config.demoCall ?? true
  const demo = wantsDemo
    ? runDemo({
        ...{ config, pod: edge.pod, url: edge.url, root, say, signal: abort.signal, record: embedded?.record },
        isOffline: model !== undefined,
        token: madeToken === undefined ? "an operator's token" : 'the token above',
      })
    : Promise.resolve(undefined)
  void demo.then((served) => {
    if (served === true && !config.exitAfterDemo) say('\nServing. Ctrl-C drains and stops.')
  })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= (async () => {
      abort.abort()
      await edge.close()
      await closeWithin(CLOSE_MAX_MS, log, async () => embedded?.close())
      await model?.stop()
    })()
    return closing
  }
  return {
    url: edge.url,
    opsUrl: edge.opsUrl,
    pod: edge.pod,
    get timers() {
      return edge.timers
    },
    ended: edge.ended,
    demo,
    close,
    drain: async () => {
      await edge.drain()
      await close()
    },
  }
}

function wantsEmbedded({ fleet }: Config): boolean {
  return fleet.databaseUrl === undefined && fleet.isEmbeddedAllowed
}

/** ADMIN_TOKEN is not set: a token of this process alone, which its terminal shows. */
function withOperator(config: Config, token: string): Config {
  return { ...config, ops: { ...config.ops, operators: [{ id: 'terminal', scopes: SCOPES, token }] } }
}

function withModel(config: Config, url: string): Config {
  const { model } = config.model.endpoint
  return {
    ...config,
    model: {
      ...config.model,
      endpoint: { kind: 'openai', url, headers: { authorization: `Bearer ${NO_KEY}` }, model },
    },
  }
}
