// The runs there are, by name.
import type { ChaosCase } from '../run.ts'
import { freezePod } from './freeze-pod.ts'
import { killPod } from './kill-pod.ts'
import { tools } from './tools.ts'

export const CASES: Readonly<Record<string, ChaosCase>> = { 'kill-pod': killPod, 'freeze-pod': freezePod, tools }
