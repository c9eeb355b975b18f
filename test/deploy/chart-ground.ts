// What a test of the chart needs: the programs that render it, and a folder of its own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchK8sTools, type K8sTools } from '../../tools/k8s/programs.ts'

export type ChartGround = { readonly tools: K8sTools; readonly folder: string; close(): void }

/** Fetches the programs and makes the folder, which has `name` in its own. Throws when they cannot be had. */
export async function openChartGround(name: string): Promise<ChartGround> {
  const tools = await fetchK8sTools()
  if (tools.kind === 'failed') throw new Error(tools.message)
  const folder = mkdtempSync(join(tmpdir(), `voiceplane-${name}-`))
  return { tools, folder, close: () => rmSync(folder, { recursive: true, force: true }) }
}
