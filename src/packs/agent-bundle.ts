// The agent module and its own files as one module, made by esbuild. Rules:
// MB1: what the module imports by a path, by an alias of tsconfig.json, or from a package of its workspace becomes part of the
//      bundle; packages stay outside and are resolved by Node, from the file that imports them.
// MB2: `import.meta.url`, `import.meta.dirname`, `__dirname` and `__filename` keep naming the file that they are written in.
// MB3: an error of the build names file, line and column. Source maps are part of the bundle, so that a stack does too.
// MB4: the version follows from the content of all bundled files, not from where they are.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, extname, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { BuildFailure, Loader, Message, Plugin } from 'esbuild'

type Bundle = { kind: 'made'; code: string; version: string; files: readonly string[] }
type BundleOutcome = Bundle | { kind: 'failed'; problem: string; cause: unknown }

const LOADERS: Readonly<Record<string, Loader>> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
  '.jsx': 'jsx',
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
}
const TEXTS: Record<string, Loader> = { '.md': 'text', '.txt': 'text' }
/** What stands in each file for the names that a bundle would change (MB2). */
const PLACE = { url: '__placeUrl', dirname: '__placeDirname', filename: '__placeFilename' }
/** The files of the plane itself: a module that imports them gets those that run. */
const OWN = `${dirname(dirname(fileURLToPath(import.meta.url)))}${sep}`
const ERRORS_TOLD_MAX = 3

let underWay = 0

/** Bundles `entry` (an absolute path). esbuild's own process ends with the last bundle under way. Never rejects. */
export async function bundleAgent(entry: string): Promise<BundleOutcome> {
  const esbuild = await import('esbuild')
  underWay += 1
  try {
    const { metafile, outputFiles } = await esbuild.build({
      entryPoints: [entry],
      absWorkingDir: dirname(entry),
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      write: false,
      metafile: true,
      sourcemap: 'inline',
      sourcesContent: false,
      outfile: `${entry}.bundle.mjs`,
      logLevel: 'silent',
      loader: TEXTS,
      banner: { js: `import{createRequire as __from}from"node:module";const require=__from(${urlText(entry)});` },
      define: {
        'import.meta.url': PLACE.url,
        'import.meta.dirname': PLACE.dirname,
        'import.meta.filename': PLACE.filename,
        __dirname: PLACE.dirname,
        __filename: PLACE.filename,
      },
      plugins: [outside(entry), places()],
    })
    const files = Object.keys(metafile.inputs)
      .filter((path) => !path.startsWith('<') && !path.includes(':'))
      .sort()
    const paths = files.map((path) => resolve(dirname(entry), path))
    return { kind: 'made', code: outputFiles[0]!.text, version: await versionOf(files, paths), files: paths }
  } catch (cause) {
    return { kind: 'failed', problem: problemOf(cause, dirname(entry)), cause }
  } finally {
    underWay -= 1
    if (underWay === 0) await esbuild.stop()
  }
}

/** MB1: what stays outside, and by which address. */
function outside(entry: string): Plugin {
  return {
    name: 'outside',
    setup(build) {
      build.onResolve({ filter: /.*/ }, async ({ path, importer, resolveDir, kind, pluginData, with: attributes }) => {
        if (pluginData === 'asked' || kind === 'entry-point') return undefined
        if (path.startsWith('node:') || path.endsWith('.node')) return { path, external: true }
        if (/^@openai\/agents(?:-[a-z]+)?(?:\/|$)/.test(path)) return { path, external: true }
        const asked = { importer, resolveDir, kind, pluginData: 'asked', with: attributes }
        const found = await build.resolve(path, asked)
        const isPackage = !/^[./]/.test(path)
        if (found.path.startsWith(OWN)) return { path: pathToFileURL(found.path).href, external: true }
        if (found.errors.length > 0) return isPackage ? { path, external: true } : { errors: found.errors }
        if (found.external || !isPackage) return { path: found.path, external: found.external }
        if (!found.path.includes(`${sep}node_modules${sep}`)) return { path: found.path }
        return { path: addressFrom(entry, importer, path), external: true }
      })
    },
  }
}

/** A package is named as it is, unless the file that imports it finds another copy than the entry does. */
function addressFrom(entry: string, importer: string, specifier: string): string {
  const theirs = locate(importer, specifier)
  if (theirs === undefined || theirs === locate(entry, specifier)) return specifier
  return pathToFileURL(theirs).href
}

function locate(from: string, specifier: string): string | undefined {
  try {
    return createRequire(from).resolve(specifier)
  } catch {
    return undefined
  }
}

/** MB2. The names come on the first line, so that lines keep their number. */
function places(): Plugin {
  return {
    name: 'places',
    setup(build) {
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, async ({ path, namespace }) => {
        const loader = LOADERS[extname(path)]
        if (namespace !== 'file' || loader === undefined) return undefined
        const text = (await readFile(path, 'utf8')).replace(/^\uFEFF?(?:#!.*)?/, '')
        if (!/import\.meta|__dirname|__filename/.test(text)) return { contents: text, loader }
        const names = [
          `${PLACE.url}=${urlText(path)}`,
          `${PLACE.dirname}=${JSON.stringify(dirname(path))}`,
          `${PLACE.filename}=${JSON.stringify(path)}`,
        ]
        return { contents: `const ${names.join(',')};${text}`, loader }
      })
    },
  }
}

const urlText = (path: string): string => JSON.stringify(pathToFileURL(path).href)

async function versionOf(names: readonly string[], paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const [i, path] of paths.entries()) {
    const content = await readFile(path)
    hash.update(`${names[i]}\n${content.length}\n`).update(content)
  }
  return hash.digest('hex').slice(0, 12)
}

function problemOf(error: unknown, folder: string): string {
  const { errors = [] } = error as Partial<BuildFailure>
  if (errors.length === 0) return String(error)
  const told = errors.slice(0, ERRORS_TOLD_MAX).map((message) => placed(message, folder))
  const more = errors.length - told.length
  return `${told.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}

function placed({ text, location }: Message, folder: string): string {
  if (location === null) return text
  return `${text} at ${resolve(folder, location.file)}:${location.line}:${location.column + 1}`
}
