// The strangers of a siege, a process of their own so that they do not delay the judge: one attack as argument, what came of it by IPC.
import { type Attack, attack, type Target } from './attacks.ts'

const [kind, target] = process.argv.slice(2)
const seen = await attack(kind as Attack, JSON.parse(target!) as Target)
process.send?.(seen, () => process.exit(0))
