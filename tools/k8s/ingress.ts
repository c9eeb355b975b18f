// The ingress that the chart renders, with the real HAProxy. Rules:
// KI1: the files are those of the ConfigMap; only their folders, and the name of the cluster's DNS, are changed for this machine.
// KI2: `haproxy -c` reads it; a warning is a finding.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runChild } from '../child.ts'
import type { Manifest } from './chart.ts'

const CHECK_MAX_MS = 20_000
const CONFIG_FOLDER = '/usr/local/etc/haproxy'
const TLS_FOLDER = '/etc/haproxy-tls'
const RUN_FOLDER = '/var/run/haproxy'
const DNS_NAME = 'kube-dns.kube-system.svc.cluster.local'

/** Writes the ingress's files into `folder`; the path of its configuration, undefined when the ingress is not rendered. */
export function writeIngress(manifests: readonly Manifest[], folder: string): string | undefined {
  const map = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.endsWith('-ingress'))
  if (map === undefined) return undefined
  for (const [name, text] of Object.entries(map.data as Record<string, string>)) {
    writeFileSync(join(folder, name), onThisMachine(text, folder))
  }
  return join(folder, 'haproxy.cfg')
}

const onThisMachine = (text: string, folder: string): string =>
  text
    .replaceAll(CONFIG_FOLDER, folder)
    .replaceAll(TLS_FOLDER, tlsFolder(folder))
    .replaceAll(RUN_FOLDER, folder)
    .replaceAll(DNS_NAME, '127.0.0.1')

/** Where a certificate lies for an ingress that was written into `folder`. */
export const tlsFolder = (folder: string): string => join(folder, 'tls')

/** What HAProxy says against the rendered configuration; nothing when it is sound or not rendered. */
export async function checkIngress(manifests: readonly Manifest[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-ingress-'))
  try {
    const config = writeIngress(manifests, folder)
    if (config === undefined) return []
    await writeCertificate(tlsFolder(folder), 'voice')
    const { end, lines } = await runChild('haproxy', ['-c', '-f', config], { maxMs: CHECK_MAX_MS, output: 'keep' })
    const said = lines.filter((line) => /\[(ALERT|WARNING)\]/.test(line))
    return end.kind === 'exited' && end.code === 0 ? said : [...said, 'haproxy refuses the configuration']
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A certificate of our own: HAProxy reads it while it checks. The program comes with PostgreSQL's packages (tools/needs.ts). */
export async function writeCertificate(folder: string, name: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const key = join(folder, 'site.pem.key')
  const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2']
  await promisify(execFile)('openssl', [
    ...made,
    '-subj',
    `/CN=${name}`,
    '-keyout',
    key,
    '-out',
    join(folder, 'site.pem'),
  ])
}
