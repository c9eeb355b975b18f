// The least of a database that the records need, whichever it is. Rules:
// SQ1: a database that cannot be reached, or does not answer in time, rejects with STORE_UNAVAILABLE; any other failure of a
//      statement is a bug and is thrown as it came.
// SQ2: statements are those of PostgreSQL 15, unnamed, and leave nothing in a session: they pass through a pool of transactions.

export type Row = Record<string, unknown>

export interface SqlQuery {
  /** Runs one statement. */
  query(text: string, params?: readonly unknown[]): Promise<Row[]>
  /** Runs several statements without parameters. */
  script(text: string): Promise<void>
}

export interface Sql extends SqlQuery {
  /** Commits when `run` resolves, takes all back when it rejects. */
  transaction<T>(run: (tx: SqlQuery) => Promise<T>): Promise<T>
  /** Idempotent; never rejects. */
  close(): Promise<void>
}

/** A column of time as whole milliseconds since 1970: a receiver that reads integers must be able to read it. `null` stays `null`. */
export const epochMs = (time: string): string => `round(extract(epoch from ${time}) * 1000)::float8`
