// The dead letters of a run, as an operator deals with them: over the admin API of a worker. Rules:
// DL1: each dead item is run again once; pages are followed to their end, PAGES_MAX at most.

const PAGES_MAX = 100
const TRIES_MAX = 3

type Page = { items: { id: string }[]; next: string | null }

/** Runs all dead items again; how many it did. Throws when the API refuses, or does not answer. */
export async function rerunDead(url: string, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  const ask = async (path: string, method = 'GET'): Promise<unknown> => {
    for (let tried = 1; ; tried++) {
      const answer = await fetch(`${url}${path}`, { method, headers }).catch((error: unknown) => {
        if (tried >= TRIES_MAX) throw error
      })
      if (answer?.ok) return answer.json()
      if (answer !== undefined && (answer.status < 500 || tried >= TRIES_MAX))
        throw new Error(`the admin API said ${answer.status}`)
    }
  }
  const ids: string[] = []
  let before = ''
  for (let page = 0; page < PAGES_MAX; page++) {
    const { items, next } = (await ask(`/admin/work?state=dead${before}`)) as Page
    ids.push(...items.map(({ id }) => id))
    if (next === null) break
    before = `&before=${next}`
  }
  for (const id of ids) await ask(`/admin/work/${id}/rerun`, 'POST')
  return ids.length
}
