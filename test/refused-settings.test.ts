// Settings of an agent that the provider does not know, through the whole plane: the call is heard, and the operator is told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import type { CallerScript } from '../sim/twilio/media/script.ts'
import type { PackCall } from '../src/packs/pack.ts'
import { LISTEN, Plane, stay } from './plane.ts'

const VOICES = 'alloy, ash, ballad, coral, echo, sage, shimmer, verse, marin'
const agent = (name = 'Desk', voice?: string) =>
  new RealtimeAgent<unknown>({ name, instructions: 'Be brief.', ...(voice === undefined ? {} : { voice }) })

/** One plane whose agent is made by `call`; `caller` calls it `calls` times. */
async function heardBy(
  call: (plane: Plane) => Omit<PackCall, 'agent'> & { agent?: PackCall['agent'] },
  then: (plane: Plane) => Promise<void>,
  { caller = LISTEN, calls = 1 }: { caller?: CallerScript; calls?: number } = {},
): Promise<void> {
  let plane: Plane | undefined
  const openCall = (): PackCall => ({ agent: agent(), ...call(plane!) })
  const script = { name: 'refused', turns: [{ say: 'Hello.' }] }
  await Plane.with(
    { pack: { name: 'p', version: '1', openCall }, hasRelay: true, model: { scripts: [script] } },
    async (opened) => {
      plane = opened
      for (let i = 0; i < calls; i += 1) {
        const report = await opened.call(caller)
        assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []], 'the caller is not let go')
        assert.ok(report.agentPlayedMs > 0, 'the caller hears the agent')
      }
      await then(opened)
    },
  )
}

const refusals = ({ log }: Plane) =>
  log.flatMap(({ code, setting, level }) => (code === 'MODEL_SETTING_REFUSED' ? [`${level} ${setting}`] : []))
const inForce = (log: Awaited<ReturnType<Plane['witness']>>) => log.filter(({ event }) => event === 'session_updated')

test('[MODEL-8][P54][RFF1][RFF5][HE5] calls to an agent with an unknown voice are heard; one log line names the setting and what is known, and /ready the setting', async () => {
  await heardBy(
    () => ({ voice: 'nova' }),
    async (plane) => {
      assert.deepEqual(refusals(plane), ['warn audio.output.voice'])
      const reason = `Invalid value: 'nova'. Supported values are: ${VOICES.split(', ')
        .map((name) => `'${name}'`)
        .join(', ')}, and 'cedar'.`
      assert.equal(plane.log.find(({ code }) => code === 'MODEL_SETTING_REFUSED')?.reason, reason)
      const ready = await fetch(`${plane.edge.url}/ready`)
      assert.deepEqual(
        [ready.status, await ready.json()],
        [
          200,
          {
            ready: true,
            reasons: [],
            warnings: ['the model refused the setting audio.output.voice (MODEL_SETTING_REFUSED in the log)'],
          },
        ],
      )
      const voices = inForce(await plane.witness()).map(({ voice }) => voice)
      assert.deepEqual(voices, ['"alloy"', '"alloy"'], "the provider's own voice speaks")
    },
    { calls: 2 },
  )
})

test('[P54][RFF1][RFF3][RFF4] so are those with any other setting that a call can do without', async () => {
  await heardBy(
    () => ({
      config: {
        audio: {
          input: {
            transcription: { model: 'whisper-0' },
            turnDetection: { type: 'my_vad' as 'semantic_vad', createResponse: true },
            noiseReduction: { type: 'no_field' as 'near_field' },
          },
          output: { voice: { id: 'voice_mine' } as never, speed: 9 },
        },
      },
    }),
    async (plane) => {
      assert.deepEqual(refusals(plane).sort(), [
        'warn audio.input.noise_reduction',
        'warn audio.input.transcription',
        'warn audio.input.turn_detection',
        'warn audio.output.speed',
      ])
      const [told] = inForce(await plane.witness())
      assert.equal(told?.voice, '{"id":"voice_mine"}', 'what was not refused is in force')
      const last = plane.relay!.sessions[0]!.filter(({ type }) => type === 'session.update').at(-1)
      const { input } = (last as unknown as { session: { audio: { input: Record<string, unknown> } } }).session.audio
      assert.deepEqual(input.transcription, { model: 'gpt-4o-mini-transcribe' }, "the plane's own")
      assert.deepEqual(input.turn_detection, { type: 'server_vad', create_response: true, interrupt_response: true })
    },
  )
})

test('[P54][RFF1] what a call cannot do without is refused as before: the caller is told, not left in silence', async () => {
  const script = { name: 'refused', turns: [{ say: 'Hello.' }] }
  const openCall = (): PackCall => ({ agent: agent(), config: { toolChoice: 'sometimes' as never } })
  await Plane.with({ pack: { name: 'p', version: '1', openCall }, model: { scripts: [script] } }, async (plane) => {
    const report = await plane.call(stay(8_000))
    assert.ok(
      report.verbs.some(({ verb, detail }) => verb === 'Say' && detail.includes('sorry')),
      JSON.stringify(report.verbs),
    )
    assert.deepEqual(refusals(plane), [])
  })
})
