// The project's image, built by its own Dockerfile. Rules:
// PI1: the base is the official image when it can be had; else a Debian of our own under its name, with this machine's Node and npm.
// PI2: npm's address and certificates are mounted into the build, so that nothing of this machine enters a layer.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ROOT } from '../../tree.ts'
import { podman, run } from './program.ts'

const BASE = 'docker.io/library/node:24-bookworm-slim'
export const IMAGE = 'localhost/voiceplane:check'
const PULL_MAX_MS = 60_000
const DEBIAN_MAX_MS = 300_000
const BUILD_MAX_MS = 600_000

/** Builds IMAGE from the working tree; says what it does by `say`. */
export async function buildImage(say: (line: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-image-'))
  try {
    await provideBase(folder, say)
    const mounts = await npmMounts(folder)
    say('building the image from deploy/Dockerfile')
    const args = ['bud', '--isolation', 'chroot', '--pull-never', '--format', 'docker', ...mounts]
    await run('buildah', [...args, '-f', join(ROOT, 'deploy/Dockerfile'), '-t', IMAGE, ROOT], { maxMs: BUILD_MAX_MS })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function provideBase(folder: string, say: (line: string) => void): Promise<void> {
  const has = await podman(['image', 'exists', BASE]).then(
    () => true,
    () => false,
  )
  if (has) return
  const pulled = await podman(['pull', '--quiet', BASE], PULL_MAX_MS).then(
    () => true,
    () => false,
  )
  if (pulled) return
  say(`${BASE} cannot be pulled: making a Debian of that name with this machine's Node (about a minute)`)
  await makeBase(folder)
}

async function makeBase(folder: string): Promise<void> {
  const mirror = /^URIs:\s*(\S+)/m.exec(readFileSync('/etc/apt/sources.list.d/debian.sources', 'utf8'))?.[1] ?? ''
  const root = join(folder, 'root')
  await run('debootstrap', ['--variant=minbase', '--include=libjemalloc2', 'bookworm', root, mirror], {
    maxMs: DEBIAN_MAX_MS,
  })
  const bin = join(root, 'usr/local/bin')
  const modules = join(root, 'usr/local/lib/node_modules')
  mkdirSync(modules, { recursive: true })
  cpSync(process.execPath, join(bin, 'node'))
  const [npm = ''] = await run('sh', ['-c', 'command -v npm'], { maxMs: 5_000 })
  cpSync(dirname(dirname(realpathSync(npm))), join(modules, 'npm'), { recursive: true })
  await run('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(bin, 'npm')], { maxMs: 5_000 })
  const user = 'groupadd -g 1000 node && useradd -u 1000 -g node -m node'
  await run('chroot', [root, 'sh', '-c', user], { maxMs: 20_000 })
  const archive = join(folder, 'root.tar')
  await run('tar', ['-C', root, '-cf', archive, '.'], { maxMs: 120_000 })
  await podman(['import', '--quiet', archive, BASE], 120_000)
}

/** npm's own settings for the build: which registry, and which certificates it is known by. */
async function npmMounts(folder: string): Promise<string[]> {
  const [registry = ''] = await run('npm', ['config', 'get', 'registry'], { maxMs: 20_000 })
  const certificates = process.env.NODE_EXTRA_CA_CERTS
  const settings = [`registry=${registry}`]
  const mounts = ['-v', `${join(folder, 'npmrc')}:/usr/local/etc/npmrc:ro`]
  if (certificates !== undefined && certificates !== '') {
    cpSync(realpathSync(certificates), join(folder, 'ca.pem'))
    settings.push('cafile=/usr/local/etc/ca.pem')
    mounts.push('-v', `${join(folder, 'ca.pem')}:/usr/local/etc/ca.pem:ro`)
  }
  writeFileSync(join(folder, 'npmrc'), `${settings.join('\n')}\n`)
  return mounts
}
