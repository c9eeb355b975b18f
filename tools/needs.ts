// What the tests and benches need beyond npm. Rules:
// N1: a need is met when every one of its probe paths exists; nothing else is trusted.
// N2: `npm test` brings only the needs marked `test`; `bench` adds the rest.
// N3: what cannot be had on a platform is said, not hidden.
import { existsSync } from 'node:fs'

/** Who needs it. */
export type Audience = 'test' | 'bench'

export type Need = {
  name: string
  /** Why the tests cannot do without. */
  why: string
  /** Debian packages that bring it. */
  packages: readonly string[]
  /** Files that exist when it is installed. */
  probes: readonly string[]
  for: Audience
  /** The Homebrew formula, or 'none' where there is none. */
  brew: string
}

const PYTHON = '/usr/lib/python3/dist-packages'

export const NEEDS: readonly Need[] = [
  {
    name: 'speech recogniser',
    why: 'recognises what the far end of a call heard',
    packages: ['pocketsphinx', 'pocketsphinx-en-us'],
    probes: ['/usr/bin/pocketsphinx_continuous', '/usr/share/pocketsphinx/model/en-us/en-us/mdef'],
    for: 'test',
    brew: 'none',
  },
  {
    name: 'human prompts',
    why: 'callers speak with a recorded human voice',
    packages: ['asterisk-core-sounds-en-wav'],
    probes: ['/usr/share/asterisk/sounds/en_US_f_Allison/hello.wav'],
    for: 'test',
    brew: 'none',
  },
  {
    name: 'Redis',
    why: 'leases, placement and the queue of a fleet are tried on a real one',
    packages: ['redis-server', 'redis-tools'],
    probes: ['/usr/bin/redis-server', '/usr/bin/redis-cli'],
    for: 'test',
    brew: 'redis',
  },
  {
    name: 'PostgreSQL',
    why: 'the records of calls are tried on a real one',
    packages: ['postgresql-15'],
    probes: ['/usr/lib/postgresql/15/bin/initdb', '/usr/lib/postgresql/15/bin/postgres'],
    for: 'test',
    brew: 'none',
  },
  {
    name: 'pgbouncer',
    why: 'the records of calls must work through a pool of transactions',
    packages: ['pgbouncer'],
    probes: ['/usr/sbin/pgbouncer'],
    for: 'test',
    brew: 'none',
  },
  {
    name: 'HAProxy',
    why: 'the way in of a fleet is tried with the configuration that the plane writes',
    packages: ['haproxy'],
    probes: ['/usr/sbin/haproxy'],
    for: 'test',
    brew: 'haproxy',
  },
  {
    name: 'promtool',
    why: 'checks the metrics and the rules for Prometheus',
    packages: ['prometheus'],
    probes: ['/usr/bin/promtool'],
    for: 'test',
    brew: 'prometheus',
  },
  {
    name: 'curl',
    why: 'the documented commands are run',
    packages: ['curl'],
    probes: ['/usr/bin/curl'],
    for: 'test',
    brew: 'curl',
  },
  {
    name: 'FastAPI bridge',
    why: 'the load generator is tried on a bridge as tutorials write it, and the bench measures one beside the plane',
    packages: ['python3-fastapi', 'python3-uvicorn', 'python3-websockets', 'python3-multipart'],
    probes: ['fastapi', 'uvicorn', 'websockets', 'multipart'].map((name) => `${PYTHON}/${name}/__init__.py`),
    for: 'test',
    brew: 'none',
  },
  {
    name: 'C compiler with OpenSSL',
    why: 'the bench measures a bridge in C, and it must carry calls as the others do',
    packages: ['gcc', 'libc6-dev', 'libssl-dev'],
    probes: ['/usr/bin/cc', '/usr/include/stdlib.h', '/usr/include/openssl/ssl.h'],
    for: 'test',
    brew: 'none',
  },
]

/** The Debian packages of the need called `name`. Throws when there is none. */
export function packagesOf(name: string): readonly string[] {
  const need = NEEDS.find((one) => one.name === name)
  if (need === undefined) throw new Error(`no need is called ${name}`)
  return need.packages
}

/** The needs of `audience` that are not met; a bench needs what the tests need too. */
export function findMissing(
  audience: Audience,
  options: { needs?: readonly Need[]; exists?: (path: string) => boolean } = {},
): Need[] {
  const exists = options.exists ?? existsSync
  return (options.needs ?? NEEDS)
    .filter((need) => need.for === 'test' || audience === 'bench')
    .filter((need) => !need.probes.every((path) => exists(path)))
}

/** The one command that a person without root runs on Debian. */
export function commandFor(missing: readonly Need[]): string {
  const packages = missing.flatMap((need) => need.packages).join(' ')
  return `sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends ${packages}'`
}

/** What to tell a person on a machine without apt-get; `platform` as in process.platform. */
export function adviceWithoutApt(missing: readonly Need[], platform: string): string {
  const brewable = missing.filter((need) => need.brew !== 'none').map((need) => need.brew)
  const others = missing.filter((need) => need.brew === 'none').map((need) => need.name)
  const parts: string[] = []
  if (platform === 'darwin' && brewable.length > 0) parts.push(`run: brew install ${brewable.join(' ')}`)
  if (platform === 'darwin') {
    if (others.length > 0) parts.push(`Homebrew has no package for: ${others.join(', ')}`)
  } else parts.push(`this machine has no apt-get, so these must come from elsewhere: ${others.join(', ')}`)
  parts.push(
    'the whole suite runs on Debian 12, also in a container; single files run with: npm exec -- node --test <file>',
  )
  return parts.join('; ')
}
