// Where an announced URL is really dialled: lets a plane announce its public name while it listens on loopback.

/** Announced origin (`wss://voice.example.test`) → origin to dial (`ws://127.0.0.1:8080`). */
export type Rewrites = Readonly<Record<string, string>>

/** The URL to dial for an announced one; the same URL when no rewrite names its beginning. */
export function dialUrl(announced: string, rewrites: Rewrites): string {
  for (const [from, to] of Object.entries(rewrites)) {
    const base = from.endsWith('/') ? from.slice(0, -1) : from
    const rest = announced.slice(base.length)
    if (announced.startsWith(base) && (rest === '' || '/?#'.includes(rest[0]!))) {
      return (to.endsWith('/') ? to.slice(0, -1) : to) + rest
    }
  }
  return announced
}

/** Said of an address that the options do not allow. */
export const NOT_DIALLED = 'is not on this machine or network'

/** Whether a URL names this machine. */
export function isLoopback(url: string): boolean {
  const host = new URL(url).hostname
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
