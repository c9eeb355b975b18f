// The runs there are, by name.
import type { ChaosCase } from '../run.ts'
import { siege } from '../siege/siege.ts'
import { afterCall } from '../work/after-call.ts'
import { ceiling } from './ceiling.ts'
import { drain } from './drain.ts'
import { freezePod } from './freeze-pod.ts'
import { killFull, killPod } from './kill-pod.ts'
import { modelLink } from './model-link.ts'
import { moves } from './moves.ts'
import { mutants } from './mutants.ts'
import { overload } from './overload.ts'
import { slowReader } from './slow-reader.ts'
import { store } from './store.ts'
import { storeLink } from './store-link.ts'
import { tools } from './tools.ts'
import { turns } from './turns.ts'

export const CASES: Readonly<Record<string, ChaosCase>> = {
  'kill-pod': killPod,
  'kill-full': killFull,
  'freeze-pod': freezePod,
  drain,
  store,
  'store-link': storeLink,
  ceiling,
  tools,
  overload,
  'slow-reader': slowReader,
  'model-link': modelLink,
  turns,
  'after-call': afterCall,
  moves,
  siege,
  mutants,
}
