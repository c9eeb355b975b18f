// What went wrong in a run, each with its cause and its fix, in words that fit any server. Rules:
// FL1: a call that failed, was refused, was dropped or stayed mute is counted in one failure; where no row fits, the failure says
//      what the carrier saw.
// FL2: what works but is not as it was meant (a callback that nobody takes, messages that cannot be read) is a hint, not a failure.

import { NOT_FIRST } from '../../sim/twilio/media/script.ts'
import type { CallReport, Warning } from '../../sim/twilio/report.ts'
import { type FinishedCall, isDropped, isMute, setUpOutcome } from './figures.ts'

/** One kind of failure. `seen` is what the first such call met, in the carrier's words. */
export type Failure = {
  kind: 'failure' | 'hint'
  title: string
  calls: number
  seen: string
  cause: string
  fix: string
}

type Found = Omit<Failure, 'calls' | 'kind'>
type Row = { seen: RegExp; cause: string; fix: string }

const TWILIO_TOKEN = 'Give --auth-token the token that your server checks signatures with (or set TWILIO_AUTH_TOKEN).'
const PROXY =
  'If it checks against a public address, run it with --url as that address, or tell it the address that you dial.'

/** What every connection can meet. */
const NETWORK: Row[] = [
  {
    seen: /is not on this machine or network/,
    cause: 'The address leads away from this machine and its private networks, and load is not to hit strangers.',
    fix: 'Add --allow-remote if the server is yours, or point the stream at your own server with --media-url.',
  },
  {
    seen: /ECONNREFUSED/,
    cause: 'Nothing listens at this address.',
    fix: 'Start the server, and check host and port of --url.',
  },
  {
    seen: /ENOTFOUND|EAI_AGAIN/,
    cause: 'This host name is not known here.',
    fix: 'Check the name in --url; for a name that only the public knows, dial an address of this network.',
  },
  {
    seen: /EPROTO|wrong version number|ERR_SSL/i,
    cause: 'TLS was refused: the port speaks plain HTTP, or another TLS.',
    fix: 'Use http:// in --url (ws:// in --media-url), or the port on which TLS is served.',
  },
  {
    seen: /CERT|SELF_SIGNED|LEAF_SIGNATURE|altname/i,
    cause: 'TLS was refused: the certificate is not trusted, is not for this name, or has expired.',
    fix: 'Set NODE_EXTRA_CA_CERTS to the file of the authority that signed it, and use the name that it was made for.',
  },
  {
    seen: /ECONNRESET|EPIPE|socket hang up/,
    cause: 'The server took the connection and cut it without an answer.',
    fix: "Look into the server's log: it crashed, restarted, or speaks TLS where plain HTTP was sent.",
  },
  {
    seen: /connect timeout|EHOSTUNREACH|ETIMEDOUT/,
    cause: 'The address did not take the connection in time.',
    fix: 'Check host and port, and firewalls between.',
  },
]

const WEBHOOK: Row[] = [
  {
    seen: /answered 404/,
    cause: 'The server has no such path for the voice webhook.',
    fix: "Name your server's path with --voice-path, as --voice-path /incoming-call.",
  },
  {
    seen: /answered 405/,
    cause: 'The voice webhook does not take POST, and the carrier sends POST.',
    fix: 'Let the route take POST, or name another with --voice-path.',
  },
  {
    seen: /answered 40[13]/,
    cause: "The server does not take the webhook's signature.",
    fix: `${TWILIO_TOKEN} ${PROXY}`,
  },
  {
    seen: /answered 4(00|13|15|22)/,
    cause: 'The server could not read the form of the webhook.',
    fix: 'Read application/x-www-form-urlencoded (FastAPI needs python-multipart for it, Express express.urlencoded()).',
  },
  {
    seen: /answered 429/,
    cause: 'The server, or what stands before it, limits the rate of requests.',
    fix: 'Raise its limit for this address, or offer calls more slowly with --ramp.',
  },
  {
    seen: /answered 50[34]/,
    cause: 'The server, or what stands before it, is at its limit or has nothing behind it.',
    fix: "Offer fewer calls (--calls, --ramp), or look into the server's log for why it turns them away.",
  },
  {
    seen: /answered 5/,
    cause: 'The server failed while it answered the voice webhook.',
    fix: "Look for the exception in the server's log.",
  },
  {
    seen: /read timeout|total time/,
    cause: 'The voice webhook did not answer within 15 s: the carrier gives up then.',
    fix: 'Answer the TwiML at once and do slow work after the media stream is open; at many calls, add processes.',
  },
  {
    seen: /12100|root is not Response/,
    cause: 'The answer of the voice webhook is not TwiML.',
    fix: 'Answer XML with a <Response> root as text/xml, not JSON: in FastAPI return Response(content=…, media_type="text/xml").',
  },
  {
    seen: /too many (redirects|documents)/,
    cause: 'The TwiML or the redirects lead in a circle.',
    fix: 'Check <Redirect>, the actions, and redirects of the web server (a slash at the end of the path, http to https).',
  },
  ...NETWORK,
]

const STREAM: Row[] = [
  {
    seen: /^wss?:\/\/(?!\[?[^/\]]*\]?:\d+\/)[^/ ]+\/\S*( \(dialled at wss:\/\/[^/:]+\/\S*)?.*ECONNREFUSED/,
    cause: 'The TwiML names a host without its port, and nothing listens on the usual port there.',
    fix: 'Say where streams are taken with --media-url, as --media-url ws://127.0.0.1:5050.',
  },
  {
    seen: /scheme is not wss/,
    cause: 'The TwiML names a Stream without wss://, which the carrier does not dial.',
    fix: 'Write wss:// in the Stream url; on this machine ws:// is dialled too.',
  },
  {
    seen: /malformed URL/,
    cause: "The Stream's url is no address.",
    fix: 'Write a whole address into the Stream url, as wss://your.host/media-stream.',
  },
  {
    seen: /answered 404/,
    cause: 'The server has no media stream at the path that its TwiML names.',
    fix: 'Compare the Stream url with the route of the WebSocket; --media-url dials another path.',
  },
  {
    seen: /answered 40[13]/,
    cause: 'The server does not let the media stream in: its signature, token or origin is not what it wants.',
    fix: `${TWILIO_TOKEN} Dial the address that the TwiML names: a signature and many tokens hold only for that.`,
  },
  {
    seen: /answered 426|answered 400|answered 200|Sec-WebSocket-Accept/,
    cause: 'What answers at this path does not speak WebSocket.',
    fix: 'Check the path; a proxy in front must pass the Upgrade header (in nginx: proxy_http_version 1.1 and Upgrade).',
  },
  {
    seen: /answered 5/,
    cause: 'The server failed, or is full, when the media stream was opened.',
    fix: "Look into the server's log; offer fewer calls to find its limit.",
  },
  {
    seen: /no answer to the handshake/,
    cause: 'The server took the connection and did not answer the WebSocket handshake within 10 s.',
    fix: 'Accept the WebSocket first and connect to the model after; an event loop that is blocked looks the same.',
  },
  {
    seen: /track /,
    cause: '<Connect><Stream> knows only the track inbound_track.',
    fix: 'Leave the track attribute away, or use <Start><Stream>.',
  },
  ...NETWORK,
]

const CLOSE_CODES: Record<number, [string, string]> = {
  1001: [
    'The server said that it is going away.',
    'It was stopped or restarted during the run: look at what restarts it.',
  ],
  1002: [
    'The server met a WebSocket frame that it could not read.',
    'Try another version of its WebSocket library, and look into its log.',
  ],
  1003: ['The server does not take this kind of message.', 'Media streams are text messages with JSON.'],
  1006: [
    'The connection was cut without a close: the process crashed, was killed, or something between cut it.',
    "Look into the server's log and its memory; check the idle timeout of proxies between.",
  ],
  1008: [
    'The server refused the stream by a rule of its own.',
    'Its close reason is above when it gave one: most often a token, a signature or a field of start.',
  ],
  1009: ['A message was too large for the server.', 'Let it take messages of at least 64 KiB.'],
  1011: [
    'The server met an error in this call.',
    "Look for the exception in the server's log; most often the model refused the session (key, quota, name of the model).",
  ],
  1012: ['The server restarts.', 'Do not restart it during the run, or let it drain first.'],
  1013: ['The server is full.', 'Offer fewer calls to find its limit.'],
}

/** [FL1][FL2] All that went wrong, failures first, the most frequent first. `errors` are the generator's own. */
export function failuresOf(calls: readonly FinishedCall[], errors: readonly string[]): Failure[] {
  const found = new Map<string, Failure>()
  const add = (kind: Failure['kind'], one: Found): void => {
    const key = `${kind} ${one.title} ${one.cause}`
    const known = found.get(key)
    if (known === undefined) found.set(key, { kind, ...one, calls: 1 })
    else known.calls++
  }
  for (const call of calls) {
    const failure = failureOf(call)
    if (failure !== undefined) add('failure', failure)
    for (const hint of hintsOf(call.report)) add('hint', hint)
  }
  for (const error of errors)
    add('failure', {
      title: 'The load generator lost calls',
      seen: error,
      cause: 'A caller process ended or could not place a call.',
      fix: 'Look at what it wrote above; with little memory or few descriptors (ulimit -n) use fewer calls or --processes.',
    })
  const rank = ({ kind, calls: count }: Failure): number => (kind === 'failure' ? 1e9 : 0) + count
  return [...found.values()].sort((a, b) => rank(b) - rank(a))
}

/** Why this call is a failure; undefined when it is none. */
function failureOf(call: FinishedCall): Found | undefined {
  const outcome = setUpOutcome(call)
  if (outcome === 'refused') return refused(call.report)
  if (outcome === 'message') return overflowed('Callers left a message in place of a talk', 'Record')
  if (outcome === 'call-back') return overflowed('Callers were offered a call-back in place of a talk', 'Gather')
  if (outcome === 'failed') return neverSetUp(call.report)
  if (isDropped(call)) return dropped(call.report)
  return isMute(call) ? mute(call.report) : undefined
}

function refused({ verbs }: CallReport): Found {
  return {
    title: 'Calls were turned away with a sentence',
    seen: `Say: ${verbs[0]?.detail ?? ''}`,
    cause: 'The voice webhook answered with a sentence and hung up: the server says that it is full or closed.',
    fix: 'Offer fewer calls to stay below its limit, or raise the limit; its log or its rules say which one.',
  }
}

function overflowed(title: string, verb: string): Found {
  return {
    title,
    seen: `TwiML: ${verb}, then the end`,
    cause: 'The callers waited longer than the server lets them, and were not connected.',
    fix: 'Offer fewer calls, or let more calls in at once; without calls beyond the limit nobody waits.',
  }
}

function neverSetUp(report: CallReport): Found {
  const title = 'Calls were never set up'
  const handshake = report.streamEnds.find(({ by }) => by === 'handshake')
  if (handshake !== undefined) return byRow(title, `media stream: ${handshake.text}`, handshake.text, STREAM)
  const warning = report.warnings.find(({ text }) => !text.startsWith('callback '))
  if (report.endCause === 'webhook-failed' && warning !== undefined)
    return byRow(title, `voice webhook: ${warning.text}`, `${warning.code} ${warning.text}`, WEBHOOK)
  const verbs = report.verbs.map(({ verb }) => verb)
  if (verbs.includes('Enqueue'))
    return {
      title,
      seen: `TwiML: ${verbs.join(', ')}`,
      cause: 'The callers waited in a queue until they gave up.',
      fix: 'Offer fewer calls, hold them longer (--hold-s), or let more calls in at once.',
    }
  if (!verbs.includes('Connect') && !verbs.includes('Start'))
    return {
      title,
      seen: `TwiML: ${verbs.length === 0 ? 'no verbs' : verbs.join(', ')}`,
      cause: 'The TwiML holds no Stream, so there is nothing to talk to.',
      fix: 'Answer <Connect><Stream url="wss://…"/></Connect> for the called number (--number), or name another --voice-path.',
    }
  return {
    title,
    seen: `ended: ${report.endCause}; TwiML: ${verbs.join(', ')}`,
    cause: 'The call ended before its media stream was open.',
    fix: "Look into the server's log at this time; if callers hung up first, hold them longer (--hold-s).",
  }
}

function dropped(report: CallReport): Found {
  const title = 'Calls were dropped'
  const end = report.streamEnds.at(-1)
  if (end?.by === 'handshake') return byRow(title, `a later media stream: ${end.text}`, end.text, STREAM)
  const reason = end?.closeReason === undefined ? '' : ` "${end.closeReason}"`
  const seen = `media stream closed with ${end?.closeCode ?? 'no code'}${reason}`
  if (end?.closeCode === 1000 || end?.closeCode === 1005) {
    if (report.mediaReceived === 0)
      return {
        title,
        seen,
        cause: 'The server closed the media stream before the agent had said anything.',
        fix: "Look into the server's log: most often the model could not be reached (address, key, quota).",
      }
    return {
      title,
      seen,
      cause: 'The server ended the media stream and the call did not end as an agent ends it.',
      fix: 'If it said a sentence of apology, its log says for what; if the agent hung up, close with code 1000.',
    }
  }
  const [cause, fix] = CLOSE_CODES[end?.closeCode ?? 0] ?? [
    'The server closed the media stream with a code of its own.',
    "Look for the code in the server's source and log.",
  ]
  return { title, seen, cause, fix }
}

function mute(report: CallReport): Found {
  const title = 'Callers heard nothing'
  const unread = report.warnings.find(isUnread)
  if (unread !== undefined) return { title, ...unreadMessages(unread) }
  return {
    title,
    seen: `${Math.round(report.framesSent / 50)} s of media stream without audio from the server`,
    cause: report.verbs.some(({ verb }) => verb === 'Start')
      ? 'The TwiML uses <Start><Stream>, which carries sound only one way: to the server.'
      : 'The server took the stream and sent no audio.',
    fix: report.verbs.some(({ verb }) => verb === 'Start')
      ? 'Use <Connect><Stream> for an agent that answers.'
      : "Look into the server's log: a session that the model refused, or audio in another format than audio/pcmu (µ-law, 8 kHz).",
  }
}

function hintsOf(report: CallReport): Found[] {
  const hints: Found[] = []
  // A server that is not there takes no callback either: the failure says so already.
  const isServed = report.endCause !== 'webhook-failed'
  const callback = isServed ? report.warnings.find(({ text }) => text.startsWith('callback ')) : undefined
  if (callback !== undefined)
    hints.push({
      title: 'Callbacks were not taken',
      seen: callback.text,
      cause: 'The server does not take the callback that tells how the call went.',
      fix: 'Name its path with --status-path, or --status-path none when it has none.',
    })
  const first = report.scriptTimeouts.find((text) => text.startsWith(NOT_FIRST))
  if (first !== undefined)
    hints.push({
      title: 'The agent did not speak first',
      seen: first,
      cause: 'The agent waits for its caller, or its greeting took longer than the callers wait.',
      fix: 'With an agent that lets the caller speak first, say --caller-first: callers speak at once then.',
    })
  const unread = report.warnings.find(isUnread)
  if (unread !== undefined && report.mediaReceived > 0)
    hints.push({ title: "Some of the server's messages could not be read", ...unreadMessages(unread) })
  const blocked = report.warnings.find(({ code }) => code === 31930)
  if (blocked !== undefined)
    hints.push({
      title: 'The server did not keep up',
      seen: blocked.text,
      cause:
        "The server does not read its media streams fast enough, or sends more marks than can be kept: caller's audio is lost.",
      fix: 'Its event loop is busy: fewer calls a process, or more processes.',
    })
  return hints
}

function isUnread({ code }: Warning): boolean {
  return code === 31951 || code === 31950
}

function unreadMessages({ text }: Warning): Pick<Found, 'seen' | 'cause' | 'fix'> {
  const isSid = text.includes('streamSid')
  return {
    seen: text,
    cause: isSid
      ? "The server's messages do not carry the streamSid of their stream, so the carrier drops them."
      : 'The server sends messages that are not of the media stream protocol, and the carrier drops them.',
    fix: isSid
      ? 'Keep start.streamSid of the start message and send it as streamSid with every media, mark and clear.'
      : 'Send text messages with JSON: {"event":"media","streamSid":…,"media":{"payload":…}}.',
  }
}

function byRow(title: string, seen: string, text: string, rows: readonly Row[]): Found {
  const row = rows.find((one) => one.seen.test(text))
  if (row !== undefined) return { title, seen, cause: row.cause, fix: row.fix }
  return {
    title,
    seen,
    cause: 'No known cause: what the carrier saw is above.',
    fix: "Look into the server's log at this time.",
  }
}
