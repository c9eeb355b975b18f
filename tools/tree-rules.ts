// What must not stand in a file of the repository. Rules:
// R1: the lock file names no address a package came from (`"resolved"`): each machine has its own mirror.
// R2: no file names a package registry, a mirror or a proxy, and .npmrc sets none.
// R3: no file names a folder of the machine it was written on.

/** One breach: where and what. */
type Breach = { path: string; line: number; text: string }

const REGISTRIES =
  /registry\.(npmjs|yarnpkg|npmmirror)\.|npm\.pkg\.github\.com|\.pkg\.dev\b|art[i]factory|files\.pythonhosted\.org|pypi\.org\/simple|deb\.debian\.org|proxy\.golang\.org|localhost[:]4873/i
/** Only where a path begins: `src/work/outbox.ts` and `../work/` are not machine paths. */
const MACHINE_PATHS = /(?<![\w./~*$}-])\/(?:work|root|home|Users|tmp)\/[\w.-]+/

/** Looks for all breaches of R1 to R3 in one file. */
export function findBreaches(path: string, text: string): Breach[] {
  const breaches: Breach[] = []
  text.split('\n').forEach((content, index) => {
    const isBreach =
      (path === 'package-lock.json' && content.includes('"resolved"')) ||
      (path.endsWith('.npmrc') && /^\s*(@[\w-]+:)?registry\s*=/.test(content)) ||
      REGISTRIES.test(content) ||
      (path !== 'package-lock.json' && MACHINE_PATHS.test(content))
    if (isBreach) breaches.push({ path, line: index + 1, text: content.trim().slice(0, 120) })
  })
  return breaches
}

const TEXT_ENDINGS = /\.(ts|mjs|js|cjs|c|json|md|yml|yaml|lua|css|html|py|sh|sql|cfg|conf|toml|txt|tpl)$/

/** Whether a file is text that these rules read; the licence is quoted as it is. */
export function isRead(path: string): boolean {
  if (path === 'LICENSE') return false
  const name = path.slice(path.lastIndexOf('/') + 1)
  return TEXT_ENDINGS.test(name) || !name.slice(1).includes('.')
}
