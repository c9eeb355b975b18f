// TLS before the model simulator, as every production has it: a real HAProxy with a certificate made here. Only the bridge is measured,
// and it must trust the certificate (NODE_EXTRA_CA_CERTS; SSL_CERT_FILE for Python). Rules:
// TT1: the key lives in the bench's folder and ends with it.
// TT2: HAProxy is up when its own monitor says so.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findFreePort } from '../../tools/ports.ts'
import type { Bench } from './bench.ts'
import { startChild } from './child.ts'

const HAPROXY = '/usr/sbin/haproxy'
const CONNECTIONS_MAX = 8_192

/** Where the model is over TLS, and the certificate to trust. */
export type TlsFront = { url: string; certificateFile: string }

let started = 0

/** Starts a TLS terminator before `port`; it is ended with the bench. Throws with the package to install when HAProxy is missing. */
export async function startTerminator(bench: Bench, port: number): Promise<TlsFront> {
  if (!existsSync(HAPROXY)) throw new Error('contenders over TLS need HAProxy; run: apt-get install -y haproxy')
  const base = join(bench.folder, `tls-${++started}`)
  const certificateFile = `${base}.crt`
  await makeCertificate(certificateFile, `${certificateFile}.key`)
  const [tlsPort, monitorPort] = [await findFreePort(), await findFreePort()]
  await writeFile(`${base}.cfg`, configuration(port, tlsPort, monitorPort, certificateFile))
  await startChild(
    {
      name: 'TLS terminator',
      file: HAPROXY,
      args: ['-db', '-f', `${base}.cfg`],
      readyUrl: `http://127.0.0.1:${monitorPort}/ready`,
    },
    bench,
  )
  return { url: `wss://127.0.0.1:${tlsPort}/v1/realtime`, certificateFile }
}

/** A certificate for 127.0.0.1 that signs itself, and its key. */
export async function makeCertificate(certificateFile: string, keyFile: string): Promise<void> {
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const files = ['-keyout', keyFile, '-out', certificateFile]
  await promisify(execFile)('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    ...subject,
    ...files,
  ])
}

function configuration(port: number, tlsPort: number, monitorPort: number, certificateFile: string): string {
  return `global
  maxconn ${CONNECTIONS_MAX}
  nbthread 1
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend tls
  bind 127.0.0.1:${tlsPort} ssl crt ${certificateFile}
  default_backend model
backend model
  server model 127.0.0.1:${port}
frontend monitor
  mode http
  bind 127.0.0.1:${monitorPort}
  monitor-uri /ready
`
}
