// Who may import whom: the map of design, as data. Rules:
// W1: inside src/ a room imports only itself and the rooms named for it; `types` means `import type` only.
// W2: nothing in src/ imports sim/, load/ or anything else outside src/; its tests neither.
// W3: sim/ imports only itself; load/ itself and sim/.
// W4: the role files at the root of src/ and in src/pod/ may import every room; no room imports a role file.
// Tests beside a unit may import every room of src/, since they bring the parts together.
import { posix } from 'node:path'
import { type Import, readImports, type Source } from './reader.ts'

type Permit = 'all' | 'types'
type Permits = Readonly<Record<string, Permit>>

const ROOMS: Readonly<Record<string, Permits>> = {
  kit: {},
  audio: { kit: 'all' },
  phrases: {},
  call: { audio: 'all', kit: 'all', packs: 'types' },
  carrier: { call: 'all', 'call-control': 'all', phrases: 'all', audio: 'all', kit: 'all' },
  model: { call: 'all', control: 'all', audio: 'all', kit: 'all', packs: 'types', ops: 'types' },
  control: { call: 'types', kit: 'all' },
  packs: { call: 'types', kit: 'all' },
  plan: { kit: 'all' },
  'call-control': { call: 'all', control: 'all', packs: 'types', ops: 'all', kit: 'all' },
  work: { call: 'all', packs: 'all', kit: 'all' },
  store: { call: 'all', control: 'all', work: 'all', kit: 'all' },
  ops: { control: 'all', call: 'types', work: 'all', kit: 'all' },
}

/** The folders outside src/ with what they may import, besides themselves. */
const OUTSIDE: Readonly<Record<string, readonly string[]>> = {
  sim: [],
  load: ['sim'],
  test: ['src', 'sim', 'load', 'bench', 'chaos', 'tools'],
  bench: ['src', 'sim', 'load', 'tools', 'test'],
  chaos: ['src', 'sim', 'load', 'bench', 'tools', 'test'],
  tools: ['src', 'sim'],
}

export const isTest = (path: string): boolean => path.endsWith('.test.ts')

/** `src/call/x.ts` is area `src`, room `call`; a file at the root of src/, or in src/pod/, is room `role`. */
function placeOf(path: string): { area: string; room: string } {
  const parts = path.split('/')
  const area = parts[0] ?? ''
  return { area, room: area !== 'src' ? '' : parts.length > 2 && parts[1] !== 'pod' ? parts[1]! : 'role' }
}

/** The breaches of W1 to W4 in one file, one text each. */
export function findWallBreaches(source: Source): string[] {
  const found: string[] = []
  for (const one of readImports(source)) {
    if (!one.specifier.startsWith('.')) continue
    const target = posix.normalize(posix.join(posix.dirname(source.path), one.specifier))
    const reason = refuse(source.path, target, one)
    if (reason !== undefined) found.push(`${source.path}:${one.line}: imports ${target}: ${reason}`)
  }
  return found
}

function refuse(path: string, target: string, one: Import): string | undefined {
  const from = placeOf(path)
  const to = placeOf(target)
  if (from.area !== 'src') {
    const allowed = OUTSIDE[from.area]
    if (from.area === to.area) return undefined
    if (allowed === undefined) return `${from.area}/ has no entry in the map (tools/architecture/walls.ts)`
    return allowed.includes(to.area) ? undefined : `${from.area}/ may import only ${['itself', ...allowed].join(', ')}`
  }
  if (to.area !== 'src') return 'src/ imports nothing outside itself'
  if (from.room === to.room || from.room === 'role' || isTest(path)) return undefined
  if (to.room === 'role') return 'no room imports a role file'
  const permits = ROOMS[from.room]
  if (permits === undefined) return `src/${from.room}/ has no entry in the map (tools/architecture/walls.ts)`
  const permit = permits[to.room]
  if (permit === 'all' || (permit === 'types' && one.isTypeOnly)) return undefined
  if (permit === 'types') return `${from.room} may take only types of ${to.room}: write "import type"`
  return `${from.room} may import only ${['itself', ...Object.keys(permits)].join(', ')}`
}
