// The ways of a call where a test has no pools.
import { lossToTell, type Route, type Routes } from '../route.ts'

/** One address for every dial. */
export function oneRoute(url: URL, headers: Readonly<Record<string, string>> = {}): Routes {
  const route: Route = { url, headers, accepted() {}, lost: lossToTell, released() {} }
  return { next: () => ({ kind: 'go', route }) }
}
