// The configuration of HAProxy, the way in of a fleet, written from the list of pods. Rules:
// HP1: only the carrier's and the provider's paths pass: /twilio/…, /media/…, /openai/webhook. All else is 404 here, so that /metrics,
//      /healthz, /ready, /drain and /internal/ cannot be had from outside however they are spelt.
// HP2: a media stream goes to the pod its path names, a webhook to the pod that ?pod=NAME names, as long as that pod lives.
// HP3: what names no pod, or a dead one, goes to a ready pod by bounded consistent hash on the Call SID: as a rule a repeated webhook
//      finds the pod that has answered already, unless that one is above its bound.
// HP4: one check per pod with two questions. /healthz is not 200, or there is no answer: the pod is dead and its sockets are cut.
//      /ready is not 200: the pod drains; it gets what is named for it and keeps its sockets, and nothing else comes.
// HP5: what a pod did not take, did not answer, or answered with a 5xx or with no HTTP is asked again of another pod, twice at most: webhooks
//      are idempotent by Call SID, and a token opens one stream. What the carrier only tells (status, recordings) is answered by a pod at
//      once: after 1.5 s another pod is told.
// HP7: a body is whole before a pod hears of it: WEBHOOK_BODY_MAX_BYTES and its head fit the buffer, more is 413, and what is not
//      whole within `timeout http-request` is 408.
// HP8: with `perSource`, one address of the outside has at most so many connections at once (then they are cut), and after so many
//      errors in ten seconds its requests are 429. Only where HAProxy sees the addresses themselves.
// HP6: no path is logged: that of a media stream holds its token.

/** A pod as HAProxy sees it; `name` is POD_NAME. */
export type HaproxyPod = { name: string; host: string; port: number }

type HaproxyConfigOptions = {
  /** May be empty: pods are added at run time too. */
  pods: readonly HaproxyPod[]
  /** What follows `bind`: `127.0.0.1:8080`, or `:443 ssl crt /etc/ssl/voice.pem alpn http/1.1`. */
  bind: string
  /** The path of the admin socket. */
  statsSocket: string
  /** Connections from outside at once: a call needs one for its stream and a moment of one for each webhook. Each costs two files. */
  maxConn?: number
  /** Where HAProxy's own metrics are read, an address inside; no metrics unless given. */
  metricsBind?: string
  /** [HP8] No limit unless given. */
  perSource?: SourceLimits
}

/** Of one address at once, or in ten seconds. */
export type SourceLimits = { connections: number; errors: number }

/** What a pod reads of a webhook (WH1); with a head of 14 KiB it fits the buffer. */
const BODY_MAX_BYTES = 16_384
const BUFFER_BYTES = 32_768

/** 2 × 9 000 sockets and the rest fit the 20 000 files that many containers allow. */
const MAX_CONN = 9_000
const POD_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const HOST = /^[A-Za-z0-9._:[\]-]{1,255}$/
const ONE_LINE = /^[\x20-\x7e]{1,1000}$/

/** What stands behind a server's address, in the file and when it comes at run time. */
export const SERVER_OPTIONS =
  'check inter 500ms fastinter 200ms fall 2 rise 1 on-marked-down shutdown-sessions' +
  ' observe layer4 error-limit 1 on-error sudden-death'

/** The options of deploy/haproxy/haproxy.cfg, which a test keeps equal. */
export const EXAMPLE: HaproxyConfigOptions = {
  pods: ['pod-1', 'pod-2', 'pod-3'].map((name, index) => ({ name, host: '127.0.0.1', port: 19_001 + index })),
  bind: '127.0.0.1:8080',
  statsSocket: '/run/haproxy/admin.sock',
  metricsBind: '127.0.0.1:8405',
  // A media server of the carrier holds a connection for each of its calls: a quarter of all is more than one has.
  perSource: { connections: 2_250, errors: 1_000 },
}

/** The whole file. Throws when a name or an address would break it. */
export function haproxyConfig(options: HaproxyConfigOptions): string {
  checkOptions(options)
  const parts = [
    globalPart(options),
    DEFAULTS,
    FRONTEND(options.bind, options.perSource),
    metricsPart(options.metricsBind),
    podsPart(options.pods),
  ]
  return [HEAD, ...parts.filter((part) => part !== '')].join('\n')
}

/** Throws when `pod` cannot stand in the configuration or in a command of the admin socket. */
export function checkPod({ name, host, port }: HaproxyPod): void {
  if (!POD_NAME.test(name)) throw new Error(`not a pod's name: ${JSON.stringify(name)}`)
  if (!HOST.test(host)) throw new Error(`not a pod's host: ${JSON.stringify(host)}`)
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`not a pod's port: ${port}`)
}

function checkOptions({ pods, bind, statsSocket, metricsBind, maxConn, perSource }: HaproxyConfigOptions): void {
  for (const pod of pods) checkPod(pod)
  if (new Set(pods.map(({ name }) => name)).size < pods.length) throw new Error('two pods have one name')
  for (const text of [bind, statsSocket, metricsBind ?? 'none'])
    if (!ONE_LINE.test(text)) throw new Error(`not one line: ${JSON.stringify(text)}`)
  for (const number of [maxConn, perSource?.connections, perSource?.errors])
    if (number !== undefined && !(Number.isInteger(number) && number > 0)) throw new Error(`not a number: ${number}`)
}

const HEAD = `# Written by tools/fleet/haproxy-config.ts: change it there. The reasons are in docs/fleet.md.
`

const globalPart = ({ statsSocket, maxConn = MAX_CONN }: HaproxyConfigOptions) => `global
  maxconn ${maxConn}
  tune.bufsize ${BUFFER_BYTES}
  stats socket ${statsSocket} mode 600 level admin expose-fd listeners
  log stderr format raw daemon notice
  # After a reload the old process serves its calls to their end: CALL_MAX_MS is 4 h.
  hard-stop-after 4h
`

const DEFAULTS = `defaults
  mode http
  log global
  timeout connect 1s
  timeout client 15s
  timeout server 15s
  timeout http-request 5s
  # Silence on a media stream; a call sends 50 frames a second.
  timeout tunnel 2h
  timeout client-fin 5s
  timeout server-fin 5s
  # A pod may stall this long before it counts as dead: twice in a row, so a hung pod's callers are cut within 3.5 s.
  timeout check 1200ms
  # Two pods may be dead at once: a request that meets the first must not end at the second.
  option redispatch 1
  retries 4
`

const FRONTEND = (bind: string, perSource: SourceLimits | undefined) => `frontend edge
  bind ${bind}
${sourcePart(perSource)}  # The whole request of a webhook is kept, so that its Call SID can be read and it can be asked again.
  option http-buffer-request
  acl is_media path_beg /media/
  acl is_webhook path_beg /twilio/
  acl is_webhook path /openai/webhook
  http-request return status 404 content-type text/plain string "Not found" unless is_media or is_webhook
  http-request deny deny_status 413 if is_webhook { req.body_size gt ${BODY_MAX_BYTES} }
  # What the outside says about itself is not handed on; signatures are.
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Request-Id %[uuid]
  # /media/<pod>/<callSid>/<token>, or /twilio/…?pod=<pod> with CallSid in the body
  http-request set-var(txn.pod) path,field(3,/) if is_media
  http-request set-var(txn.pod) url_param(pod) unless is_media
  http-request set-var(txn.sid) path,field(4,/) if is_media
  http-request set-var(txn.sid) req.body_param(CallSid) unless is_media
  default_backend pods
`

/** [HP8] */
const sourcePart = (limits: SourceLimits | undefined): string =>
  limits === undefined
    ? ''
    : `  stick-table type ipv6 size 100k expire 1m store conn_cur,http_err_rate(10s)
  tcp-request connection track-sc0 src
  tcp-request connection reject if { sc0_conn_cur gt ${limits.connections} }
  http-request deny deny_status 429 if { sc0_http_err_rate gt ${limits.errors} }
`

const metricsPart = (bind: string | undefined): string =>
  bind === undefined
    ? ''
    : `frontend metrics
  bind ${bind}
  http-request use-service prometheus-exporter if { path /metrics }
  http-request return status 404
`

const podsPart = (pods: readonly HaproxyPod[]): string => `backend pods
  # What the carrier only tells: after 1.5 s another pod is told.
  http-request set-timeout server 1500ms if { path /twilio/status /twilio/stream-status /twilio/recording /twilio/message }
  use-server %[var(txn.pod)] if { var(txn.pod) -m found }
  balance hash var(txn.sid)
  hash-type consistent sdbm avalanche
  # No pod gets more than 1.5 times its share by hash.
  hash-balance-factor 150
  retry-on conn-failure empty-response junk-response response-timeout 500 502 503 504
  option httpchk
  http-check connect
  http-check send meth GET uri /healthz
  http-check expect status 200
  http-check connect
  http-check send meth GET uri /ready
  # L7OKC: alive, but nothing new. A plain failure here would cut live calls.
  http-check expect status 200 error-status L7OKC
${pods.map(({ name, host, port }) => `  server ${name} ${host}:${port} ${SERVER_OPTIONS}\n`).join('')}`
