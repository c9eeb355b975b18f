// The image has one name: what the release workflow pushes is what the chart of that release names.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageChart, renderChart } from '../../tools/k8s/chart.ts'
import { findWorkloads } from '../../tools/k8s/pods.ts'
import { fetchK8sTools } from '../../tools/k8s/programs.ts'
import { listFiles, ROOT } from '../../tools/tree.ts'

test('[O20] a packed chart names the image that it was packed with; the tree’s own names none and says so', async () => {
  const tools = await fetchK8sTools()
  if (tools.kind === 'failed') throw new Error(tools.message)
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-package-'))
  try {
    assert.equal(await packageChart(tools, folder, 'ghcr.io/a-fork/voiceplane'), undefined)
    const [archive] = readdirSync(folder)
    const bare = { isBare: true, sets: ['publicBaseUrl=https://voice.example.com'] }
    const packed = await renderChart(tools, { ...bare, chart: join(folder, archive!) })
    if (packed.kind === 'refused') throw new Error(packed.reason)
    const images = findWorkloads(packed.manifests).map(({ pod }) => pod.containers[0]!.image)
    assert.ok(images.filter((image) => image.startsWith('ghcr.io/a-fork/voiceplane:')).length >= 3)
    assert.ok(images.every((image) => image.startsWith('ghcr.io/a-fork/voiceplane:') || image.includes('haproxy')))
    const own = await renderChart(tools, bare)
    assert.ok(own.kind === 'refused')
    assert.match(own.reason, /image.repository: set the name under which your image was pushed/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('[O20] the release pushes and packs one name, made of the repository that runs it', () => {
  const text = readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')
  assert.match(text, /IMAGE=ghcr\.io\/\$\{GITHUB_REPOSITORY,,\}" >> "\$GITHUB_ENV"/)
  assert.match(text, /image="\$IMAGE:\$\{GITHUB_REF_NAME#v\}"[\s\S]*docker push "\$image"/)
  assert.match(text, /--package out\/chart --image "\$IMAGE"/)
  const fixed = ['deploy', '.github']
    .flatMap((under) => listFiles(under))
    .filter((path) => /ghcr\.io\/(?!\$\{GITHUB_REPOSITORY)/.test(readFileSync(join(ROOT, path), 'utf8')))
  assert.deepEqual(fixed, [], 'a name of an image stands in a file')
})
