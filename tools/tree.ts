// The files of the project as they lie on disk, without what git ignores. It walks instead of asking git, so that it also
// works from an archive, without git, and for files not yet committed.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

/** The project's root folder. */
export const ROOT = join(import.meta.dirname, '..')

/** Entries of .gitignore are plain here: `folder/` or `*.ending`. */
function readIgnored(root: string): (name: string, isFolder: boolean) => boolean {
  const lines = readFileSync(join(root, '.gitignore'), 'utf8').split('\n')
  const entries = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  return (name, isFolder) =>
    entries.some((entry) => {
      if (entry.startsWith('*')) return !isFolder && name.endsWith(entry.slice(1))
      return entry.endsWith('/') ? isFolder && name === entry.slice(0, -1) : name === entry
    })
}

/** Paths of all files under `folder` of `root`, relative to the root with `/`, sorted. */
export function listFiles(folder = '.', root = ROOT): string[] {
  const isIgnored = readIgnored(root)
  const found: string[] = []
  const walk = (path: string) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.name === '.git' || isIgnored(entry.name, entry.isDirectory())) continue
      const full = join(path, entry.name)
      if (entry.isDirectory()) walk(full)
      else if (entry.isFile()) found.push(relative(root, full).split(sep).join('/'))
    }
  }
  try {
    walk(join(root, folder))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  return found.sort()
}
