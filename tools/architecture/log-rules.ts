// Rules of the log in src/. Rules:
// O1: the message of log.debug/info/warn/error is static: a literal, a constant in UPPER_CASE, or a choice between literals.
// O2: a field that is obviously personal is logged only under a key that begins with `pii.`.
import { lineAt, readArguments, readSource, type Source } from './reader.ts'
import { isTest } from './walls.ts'

const PERSONAL = new Set(['from', 'to', 'phone', 'transcript', 'text', 'name'])

/** `log.info(`, `this.#log.warn(`, `parts.callLog?.error(`, `logger.child(`. */
const LOG_CALL =
  /(?<![\w$])#?(?:log|logger|\w+Log|\w+Logger)\s*\??\.\s*(?<verb>debug|info|warn|error|fatal|trace|child)\s*\(/g

/** The breaches of O1 and O2 in one file. */
export function findLogBreaches(source: Source): string[] {
  if (!source.path.startsWith('src/') || isTest(source.path)) return []
  const found: string[] = []
  for (const match of source.bare.matchAll(LOG_CALL)) {
    const where = `${source.path}:${lineAt(source, match.index)}`
    const parts = readArguments(source, match.index + match[0].length - 1) ?? []
    const texts = parts.map(({ from, to }) => source.code.slice(from, to).trim())
    if (match.groups!.verb !== 'child') {
      const message = texts[texts.length > 1 ? 1 : 0]
      if (message === undefined || !isStatic(message)) found.push(`${where}: the message of a log line is static text`)
    }
    for (const key of personalKeys(texts[0] ?? '')) found.push(`${where}: "${key}" is personal: log it as 'pii.${key}'`)
  }
  return found
}

function isStatic(message: string): boolean {
  const bare = readSource('', message).bare
  const isLiteral = (part: string) => /^(?:'\s*'|"\s*"|`\s*`|[A-Z][A-Z0-9_]*)$/.test(part.trim())
  if (isLiteral(bare)) return true
  const choice = /^[^?]*\?(?<yes>[^:]*):(?<no>[^:?]*)$/.exec(bare)
  return choice !== null && isLiteral(choice.groups!.yes!) && isLiteral(choice.groups!.no!)
}

/** The personal keys of an object literal, its nested literals included. */
function personalKeys(text: string): string[] {
  const object = readSource('', text)
  const found: string[] = []
  if (!object.bare.startsWith('{')) return found
  for (const { from, to } of readArguments(object, 0) ?? []) {
    const property = object.code.slice(from, to).trim()
    const bareProperty = object.bare.slice(from, to).trim()
    const colon = bareProperty.indexOf(':')
    const key = (colon < 0 ? property : property.slice(0, colon)).trim().replace(/^['"]|['"]$/g, '')
    if (PERSONAL.has(key)) found.push(key)
    if (colon >= 0) found.push(...personalKeys(property.slice(colon + 1).trim()))
  }
  return found
}
