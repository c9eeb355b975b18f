// Folders for what callers have said. Rules:
// PFO1: a folder that is made here is for the user of the process alone, whatever the umask: the database makes files that everybody
//      may write, and only the folder above them keeps others out.
import { chmodSync, mkdirSync } from 'node:fs'

const OWNER_ONLY = 0o700

/** Makes `folder` and what is above it. One that is there keeps the rights that somebody gave it. Throws when it cannot be made. */
export function makePrivateFolder(folder: string): void {
  const made = mkdirSync(folder, { recursive: true, mode: OWNER_ONLY })
  // The mode above is under the umask, which may have taken the owner's own rights.
  if (made !== undefined) chmodSync(folder, OWNER_ONLY)
}

/** Makes `folder`, or takes everybody else's rights to it: it is the process's own. Throws when it cannot be made or is not ours. */
export function ownPrivateFolder(folder: string): void {
  makePrivateFolder(folder)
  chmodSync(folder, OWNER_ONLY)
}
