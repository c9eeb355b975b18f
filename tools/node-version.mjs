// Refuses to go on below Node 24, in one line that says how to get it. Plain JavaScript on purpose: an older Node cannot
// read the TypeScript of the other tools, so this file is also run by itself, before them.
const NEEDED_MAJOR = 24

if (Number(process.versions.node.split('.')[0]) < NEEDED_MAJOR) {
  const brought = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
  const cure = brought
    ? 'run "npm ci" (optional dependencies included: they bring it), then call the tools through npm, such as "npm test"'
    : `install it yourself (the project brings one for Linux x64 and arm64 only; this is ${process.platform} ${process.arch})`
  console.error(`voiceplane needs Node ${NEEDED_MAJOR} or newer, this is ${process.version}: ${cure}`)
  process.exit(1)
}
