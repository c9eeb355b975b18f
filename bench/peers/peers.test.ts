// The peers are measured, so they must be real: each carries calls between the two simulators. FastAPI's needs Debian's packages
// and is tried by `bench density` itself, which stops with the command to run when they are missing. The floor is compiled here: without a
// compiler its tests install one as root and fail otherwise.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Bench } from '../runner/bench.ts'
import { type ContenderName, startContender } from '../runner/contenders.ts'
import { startLoad } from '../runner/load.ts'
import { startModel } from '../runner/model.ts'

async function carryCalls(name: ContenderName) {
  const bench = await Bench.open('peer-test', {})
  try {
    const model = await startModel(bench, { witness: true, tls: name.endsWith('-tls') })
    const bridge = await startContender(bench, name, model, 4)
    const load = startLoad(bench, {
      urls: [bridge.url],
      calls: 2,
      ratePerSecond: 20,
      holdS: 3,
      scenario: 'talk',
      seed: 1,
      isProbing: true,
      modelWitnesses: [model.witnessFile!],
    })
    return (await load.report()).figures
  } finally {
    await bench.close()
  }
}

suite('peers', { concurrency: true }, () => {
  const NAMES = [
    ...(['floor', 'bare', 'ws', 'sdk'] as const),
    ...(['floor-tls', 'bare-tls', 'ws-tls', 'sdk-tls', 'voiceplane-tls'] as const),
  ]
  for (const name of NAMES) {
    test(`${name} carries calls both ways: the model hears the caller's frames, the caller hears the agent`, async () => {
      const figures = await carryCalls(name)
      assert.equal(figures.setUp.succeeded, 2)
      assert.equal(figures.calls.dropped, 0)
      assert.ok(figures.addedLatencyMs.carrierToModel!.n >= 4, 'probes of the caller came to the model')
      assert.ok(figures.addedLatencyMs.modelToCarrier.n >= 2, 'probes of the model came to the caller')
      assert.ok(figures.agentAudio.playedShare! > 0.3, `agent speaks ${figures.agentAudio.playedShare}`)
    })
  }
})
