// A small project in one text file: head lines (`name: value`), then files, each under a line `-- path --`. It is unpacked
// outside this repository, so that nothing of it is found by accident; what it may import is linked into its node_modules.
import { cp, mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SHAPES = join(import.meta.dirname, 'shapes')
const PACKAGES = fileURLToPath(new URL('../../node_modules/', import.meta.url))
const ENDING = '.txtar'

/** An agent module as somebody may have written it. */
type Shape = { name: string; entry: string; folder: string }

/** The names of all shapes. */
export async function shapeNames(): Promise<string[]> {
  const files = await readdir(SHAPES)
  return files.filter((file) => file.endsWith(ENDING)).map((file) => basename(file, ENDING))
}

/** Unpacks a shape into a folder of its own. The caller removes it. */
export async function unpackShape(name: string): Promise<Shape> {
  const [head = '', ...parts] = (await readFile(join(SHAPES, name + ENDING), 'utf8')).split(/^-- (.+) --\n/m)
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-shape-'))
  for (let i = 0; i < parts.length; i += 2) {
    const path = join(folder, parts[i]!)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, parts[i + 1]!)
  }
  await link(join(PACKAGES, 'zod'), join(folder, 'node_modules/zod'))
  for (const copied of valuesOf(head, 'copies'))
    await cp(join(PACKAGES, copied), join(folder, 'node_modules', copied), { recursive: true })
  for (const linked of valuesOf(head, 'links')) {
    const [as = '', path = ''] = linked.split('=')
    await link(join(folder, path), join(folder, 'node_modules', as))
  }
  return { name, entry: join(folder, valuesOf(head, 'entry')[0] ?? ''), folder }
}

/** The words after `key:` in the head. */
function valuesOf(head: string, key: string): string[] {
  const line = head.split('\n').find((one) => one.startsWith(`${key}: `))
  return line === undefined ? [] : line.slice(key.length + 2).split(' ')
}

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await symlink(target, path)
}
