// The titles of tests, read from the text of their file. A conformance suite has its titles in a table (`title:`, `name:`).

const TITLE = /(?<![\w.])(?:(?:test|it|suite|describe)\(\s*|(?:title|name): )(?<quote>['"`])(?<title>.*?)\k<quote>/g
const CITED = /\[([A-Z]{1,3}\d+|[A-Z]+-\d+)(?:-([A-Z]{1,3}\d+))?\]/g

function titlesOf(text: string): string[] {
  return [...text.matchAll(TITLE)].map(({ groups }) => groups!.title!)
}

/** The ids that the titles of `text` cite, each once: `[POD-1]`, `[CM1]`, or `[CM1-CM3]` for the two ends of a row. */
export function idsCitedIn(text: string): Set<string> {
  const cited = titlesOf(text).flatMap((title) => [...title.matchAll(CITED)].flatMap(([, one, other]) => [one, other]))
  return new Set(cited.filter((id) => id !== undefined))
}
