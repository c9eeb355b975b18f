// What a simulated call costs: CPU-ms of this process per call-second, against a small plane in a child process.
// Usage: node sim/twilio/testing/cost.ts [calls] [seconds]. The last line on standard output is JSON.
// `floor` is what 50 bare socket.write of that size cost on as many sockets in the same run; nothing on net.Socket goes below.
// The child sends 5 media messages of 200 ms and 5 marks a second to each call; each call talks all the time and probes.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { startTwilioSim } from '../sim.ts'
import { FakePlane } from './fake-plane.ts'

const TARGET_CPU_MS = 0.45
/** Size of one media message as a frame. */
const FRAME_BYTES = 393
const FLOOR_SECONDS = 4
const AUDIO = Buffer.alloc(1600, 0x90).toString('base64')

async function playPlane(): Promise<void> {
  const plane = await new FakePlane().start()
  plane.keepsMessages = false
  plane.onRequest = () => ({ body: plane.connectTwiml('<Hangup/>') })
  plane.onStream = (stream) => {
    const { streamSid } = stream
    const timer = setInterval(() => {
      stream.sendText(`{"event":"media","streamSid":"${streamSid}","media":{"payload":"${AUDIO}"}}`)
      stream.sendText(`{"event":"mark","streamSid":"${streamSid}","mark":{"name":"m"}}`)
    }, 200)
    stream.socket.on('close', () => clearInterval(timer))
  }
  const sink = createServer((socket) => socket.on('data', () => {}).on('error', () => {}))
  sink.listen(0, '127.0.0.1', () => process.send?.([plane.base, (sink.address() as AddressInfo).port]))
}

/** CPU-ms per call-second of nothing but the writes. */
async function measureFloor(port: number, calls: number): Promise<number> {
  const frame = Buffer.alloc(FRAME_BYTES, 'x')
  const sockets = []
  for (let i = 0; i < calls; i++) {
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    await once(socket, 'connect')
    sockets.push(socket)
  }
  const startedMs = performance.now()
  const before = process.cpuUsage()
  for (let tick = 0; tick < FLOOR_SECONDS * 200; ) {
    for (const owed = Math.floor((performance.now() - startedMs) / 5); tick < owed; tick++) {
      for (let i = tick % 4; i < calls; i += 4) sockets[i]!.write(frame)
    }
    await new Promise((resolve) => setTimeout(resolve, 4))
  }
  const cpu = process.cpuUsage(before)
  for (const socket of sockets) socket.destroy()
  return (cpu.user + cpu.system) / 1000 / calls / FLOOR_SECONDS
}

async function measure(calls: number, seconds: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['--plane'])
  const [[base, sinkPort]] = (await once(child, 'message')) as [[string, number]]
  const sim = await startTwilioSim({
    accountSid: `AC${'0'.repeat(32)}`,
    authToken: '12345678901234567890123456789012',
    number: '+15005550001',
    voiceUrl: `${base}/voice`,
  })
  const ulaw = Buffer.alloc(16_000, 0x95)
  const say = { name: 'tone', ulaw, ms: 2000, speechEndMs: 2000 }
  const maxMs = (seconds + 60) * 1000
  const placed = []
  for (let i = 0; i < calls; i++) {
    placed.push(sim.placeCall({ caller: { steps: [{ repeat: 'until end', steps: [{ say }] }], maxMs }, probe: true }))
    if (i % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 25))
  }
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const framesBefore = placed.reduce((sum, call) => sum + call.record.framesSent, 0)
  const cpuBefore = process.cpuUsage()
  const startedMs = performance.now()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const cpu = process.cpuUsage(cpuBefore)
  const spentS = (performance.now() - startedMs) / 1000
  const frames = placed.reduce((sum, call) => sum + call.record.framesSent, 0) - framesBefore
  const cpuMs = (cpu.user + cpu.system) / 1000 / (calls * spentS)
  const rssMb = Math.round(process.memoryUsage.rss() / 1e6)
  await sim.close()
  const floor = await measureFloor(sinkPort, calls)
  child.kill()
  const round = (value: number): number => Math.round(value * 1000) / 1000
  const figures = {
    calls,
    seconds: round(spentS),
    cpuMsPerCallSecond: round(cpuMs),
    floor: round(floor),
    overFloor: round(cpuMs / floor),
    userMs: round(cpu.user / 1000 / (calls * spentS)),
    systemMs: round(cpu.system / 1000 / (calls * spentS)),
    framesPerCallSecond: round(frames / (calls * spentS)),
    lateness: sim.lateness,
    rssMb,
    pass: cpuMs <= TARGET_CPU_MS,
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  process.exitCode = figures.pass ? 0 : 1
}

if (process.argv[2] === '--plane') await playPlane()
else await measure(Number(process.argv[2] ?? 200), Number(process.argv[3] ?? 8))
