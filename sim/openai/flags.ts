// Command line of the simulator: flags to options. All that is wrong is reported at once, with the fix.
import { readFileSync } from 'node:fs'
import { Arguments } from '../command-line.ts'
import { readScript, type Script } from './dialogue/script.ts'
import { FAULT_ORDER } from './fault-shape.ts'
import { DEFAULTS, type Faults, NO_FAULTS } from './options.ts'
import type { StartOptions } from './sim.ts'

export const HELP = `The offline model: a simulator of the OpenAI Realtime API on ws://127.0.0.1:PORT/v1/realtime. It needs no key and
no network. It speaks, detects when the caller speaks, and follows a script. It understands nothing.

  npm run sim-model -- [flags]        or        node sim/openai/main.ts [flags]

  --port N               port of 127.0.0.1; 0 takes a free one (0)
  --witness FILE         append the witness log (JSON lines) to FILE
  --ready-file FILE      write the ready line to FILE too
  --speech-dir DIR       cache of synthesised speech (.data/speech)
  --ceiling N            live sessions allowed (100000)
  --ceiling-mode M       upgrade: HTTP 429 | after-upgrade: error event, then close (upgrade)
  --bad-key KEY          refuse this key with 401; may be repeated
  --session-cap-ms N     age at which a session expires (3600000)
  --think-ms N           from the caller's turn to the first delta (300)
  --speed X              generation speed, times real time (3)
  --chunk-law A,B,C[,D]  first delta A ms, then B to C ms, sizes multiples of D bytes (100,200,400,1)
  --probes               put a probe frame before each response's audio
  --keep-audio-ms N      caller audio kept a turn for conversation.item.retrieve; 0 keeps none (10000)
  --tool-every-ms N      call the session's first harmless tool about that often (0: never)
  --tool-every-answers N call a tool or handoff of the session in every Nth answer, and say its result (0: never)
  --talk-s N             no script ends a call before N seconds; it talks on instead (0)
  --script FILE          a dialogue script (JSON); may be repeated
  --faults JSON          standing faults, such as {"slowMs":50,"reorderDones":true}
  --help                 this text

Faults: ${Object.keys(NO_FAULTS).join(', ')} (sim/openai/options.ts says what each does).
When it listens it prints one line: {"port":N,"url":"ws://…","control":"http://…"}. SIGTERM or SIGINT ends it.
Control: POST /sim/faults {"set":{…},"act":{"kind":"drop"},"session":…|"call":…}, POST /sim/script, GET /sim/sessions.
`

export const FLAGS = {
  port: { type: 'string' },
  witness: { type: 'string' },
  'ready-file': { type: 'string' },
  'speech-dir': { type: 'string' },
  ceiling: { type: 'string' },
  'ceiling-mode': { type: 'string' },
  'bad-key': { type: 'string', multiple: true },
  'session-cap-ms': { type: 'string' },
  'think-ms': { type: 'string' },
  speed: { type: 'string' },
  'chunk-law': { type: 'string' },
  probes: { type: 'boolean' },
  'keep-audio-ms': { type: 'string' },
  'tool-every-ms': { type: 'string' },
  'tool-every-answers': { type: 'string' },
  'talk-s': { type: 'string' },
  script: { type: 'string', multiple: true },
  faults: { type: 'string' },
} as const

type Flags =
  | { kind: 'start'; options: StartOptions; readyFile: string | undefined }
  | { kind: 'help' }
  | { kind: 'wrong'; problems: string[] }

/** Reads the arguments after the program's name. */
export function readFlags(args: string[]): Flags {
  const given = new Arguments(args, FLAGS)
  if (given.wantsHelp) return { kind: 'help' }
  const { problems, values } = given
  const mode = values['ceiling-mode'] ?? DEFAULTS.ceilingMode
  if (mode !== 'upgrade' && mode !== 'after-upgrade') problems.push('--ceiling-mode must be upgrade or after-upgrade')
  const options: StartOptions = {
    port: given.number('port', 0) ?? 0,
    witnessFile: values.witness,
    speechDir: values['speech-dir'],
    ceiling: given.number('ceiling', 0) ?? DEFAULTS.ceiling,
    ceilingMode: mode === 'after-upgrade' ? mode : 'upgrade',
    badKeys: values['bad-key'] ?? [],
    sessionCapMs: given.number('session-cap-ms', 1) ?? DEFAULTS.sessionCapMs,
    thinkMs: given.number('think-ms', 0) ?? DEFAULTS.thinkMs,
    speed: given.number('speed', 0.1) ?? DEFAULTS.speed,
    chunkLaw: readChunkLaw(values['chunk-law'], problems),
    probes: values.probes ?? false,
    keepAudioMs: given.number('keep-audio-ms', 0) ?? DEFAULTS.keepAudioMs,
    toolEveryMs: given.number('tool-every-ms', 0) ?? 0,
    toolEveryAnswers: given.number('tool-every-answers', 0) ?? 0,
    talkMs: (given.number('talk-s', 0) ?? 0) * 1_000,
    scripts: (values.script ?? []).flatMap((file) => readScriptFile(file, problems)),
    faults: readFaults(values.faults, problems),
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'start', options, readyFile: values['ready-file'] }
}

function readChunkLaw(text: string | undefined, problems: string[]): StartOptions['chunkLaw'] {
  if (text === undefined) return DEFAULTS.chunkLaw
  const [firstMs = NaN, minMs = NaN, maxMs = NaN, alignBytes = 1] = text.split(',').map(Number)
  const isFine =
    [firstMs, minMs, maxMs, alignBytes].every((value) => value >= 1) && minMs <= maxMs && Number.isInteger(alignBytes)
  if (!isFine) problems.push('--chunk-law must be like 100,200,400 or 100,200,400,160')
  return { firstMs, minMs, maxMs, alignBytes }
}

function readScriptFile(file: string, problems: string[]): Script[] {
  try {
    const read = readScript(JSON.parse(readFileSync(file, 'utf8')))
    if (read.kind === 'script') return [read.script]
    problems.push(...read.problems.map((problem) => `--script ${file}: ${problem}`))
  } catch (error) {
    problems.push(`--script ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
  return []
}

function readFaults(text: string | undefined, problems: string[]): Partial<Faults> {
  if (text === undefined) return {}
  try {
    const set: unknown = JSON.parse(text)
    const problem = FAULT_ORDER({ set }, '')
    if (problem === undefined) return set as Partial<Faults>
    problems.push(`--faults: ${problem.message}`)
  } catch {
    problems.push('--faults must be JSON')
  }
  return {}
}
