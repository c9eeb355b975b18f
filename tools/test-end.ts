// Loaded before each test file by the test command. Rules:
// F1: a test file whose tests are over ends by itself within END_MAX_MS; else it says what it left open and fails.
//     Node's own time-out bounds each test, but a file that keeps a handle would hold the runner for ever.
// F2: programs that a test starts do not take themselves for test files: the mark that says so is taken away.
import { writeSync } from 'node:fs'
import { after } from 'node:test'

const END_MAX_MS = 10_000

if (process.env.NODE_TEST_CONTEXT === 'child-v8') {
  after(() => {
    setTimeout(() => {
      const open = [...new Set(process.getActiveResourcesInfo())].join(', ')
      writeSync(2, `${process.argv[1]} did not end by itself; still open: ${open}\n`)
      process.exit(1)
    }, END_MAX_MS).unref()
  })
  delete process.env.NODE_TEST_CONTEXT
}
