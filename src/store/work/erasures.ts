// Erasing in SQL. Rules:
// ESQ1: calls go BATCH at a time, each batch one statement, with all that hangs on them by their foreign keys; the table is never locked.
// ESQ2: a far party is found by his mark under each key, and by the number itself where no keys were configured when the call came.
//      A number that identifies nobody (IDN2) has no mark; a request for it is CALLER_WITHHELD and erases nothing.
// ESQ3: the number of a request is kept, sealed where there are keys, until no live call is left that it may be about; then it is gone.
import { numberOf, partyOf } from '../../call/identity.ts'
import { VoiceError } from '../../kit/errors.ts'
import type { Erasure, ErasureRequest, ErasureStore, Retention } from '../../work/erasures.ts'
import type { Row, Sql } from '../records/sql.ts'
import type { Sealer } from '../sealing/sealer.ts'

export const BATCH = 500
const REQUESTS_MAX = 100

/** $1 tenant, $2 marks (null: all callers), $3 the number, normalised */
const OF_CALLER = `c.tenant = $1 and ($2::text[] is null or c.from_mark = any($2) or
  (c.from_mark is null and regexp_replace(case c.direction when 'outbound' then c.to_number else c.from_number end, '[^+0-9]', '', 'g') = $3))`

/** $4 most calls */
const ERASE = `
delete from call where call_sid in (
  select c.call_sid from call c where c.state = 'ended' and ${OF_CALLER} limit $4::int for update skip locked
) returning call_sid`

const LIVE = `select count(*)::int as count from call c where c.state = 'live' and ${OF_CALLER}`

/** $1 tenant, $2 ids of the keys that are here */
const UNKNOWN_MARKS = `
select 1 from call where tenant = $1 and from_mark is not null and split_part(from_mark, ':', 1) <> all($2::text[]) limit 1`

/** Ended calls past their days. $1 tenants, $2 their days, $3 days of the others (null: for ever), $4 the fewest days, $5 most calls */
const RETAIN = `
delete from call where call_sid in (
  select c.call_sid from call c left join unnest($1::text[], $2::int[]) as t (tenant, days) on t.tenant = c.tenant
  where c.state = 'ended' and c.ended_at < clock_timestamp() - make_interval(days => $4::int)
    and c.ended_at < clock_timestamp() - make_interval(days => coalesce(t.days, $3::int))
    and (c.ended_at < clock_timestamp() - 2 * make_interval(days => coalesce(t.days, $3::int)) or not exists (
      select 1 from work_item i where i.call_sid = c.call_sid and i.state in ('waiting', 'ready', 'running')))
  order by c.ended_at limit $5::int for update of c skip locked
) returning call_sid`

const ONE = 'select id::text as id, tenant, marks, number, calls, done_at from erasure where id = $1::bigint'

export class SqlErasures implements ErasureStore {
  readonly #sql: Sql
  readonly #sealer: Sealer | undefined

  constructor(sql: Sql, sealer: Sealer | undefined) {
    this.#sql = sql
    this.#sealer = sealer
  }

  async request({ tenant, from }: ErasureRequest): Promise<Erasure> {
    const party = from === undefined ? undefined : numberOf(partyOf(from))
    if (from !== undefined && party === undefined) throw new VoiceError('CALLER_WITHHELD')
    const marks = party === undefined ? null : (this.#sealer?.marks(party) ?? [])
    if (party !== undefined) await this.#refuseUnknown(tenant, marks ?? [])
    const number = party === undefined ? null : this.#seal(party, tenant)
    const text = 'insert into erasure (tenant, marks, number) values ($1, $2::text[], $3) returning id::text as id'
    const [row] = await this.#sql.query(text, [tenant, marks, number])
    const id = String(row?.id)
    await this.#fulfil(id)
    return (await this.find(id))!
  }

  async count(tenant: string): Promise<number> {
    const [row] = await this.#sql.query('select count(*)::int as count from call where tenant = $1', [tenant])
    return Number(row?.count ?? 0)
  }

  async find(id: string): Promise<Erasure | undefined> {
    const [row] = await this.#sql.query(ONE, [id])
    if (row === undefined) return undefined
    const isDone = row.done_at !== null
    const live = isDone ? 0 : await this.#live(row)
    return { id, tenant: String(row.tenant), calls: Number(row.calls), live, isDone }
  }

  async round(): Promise<number> {
    const open = 'select id::text as id from erasure where done_at is null order by id limit $1::int'
    let erased = 0
    for (const { id } of await this.#sql.query(open, [REQUESTS_MAX])) erased += await this.#fulfil(String(id))
    return erased
  }

  async retain({ days, tenants }: Retention): Promise<number> {
    const known = [...Object.values(tenants), ...(days === undefined ? [] : [days])]
    if (known.length === 0) return 0
    const params = [Object.keys(tenants), Object.values(tenants), days ?? null, Math.min(...known), BATCH]
    return this.#batches(RETAIN, params)
  }

  /** [ESQ1][ESQ3] Looks for live calls first: one that ends meanwhile is erased in this round or counted by the next. */
  async #fulfil(id: string): Promise<number> {
    const [row] = await this.#sql.query(ONE, [id])
    if (row === undefined || row.done_at !== null) return 0
    const live = await this.#live(row)
    const erased = await this.#batches(ERASE, [...this.#callerOf(row), BATCH])
    const done = live === 0 ? ', number = null, done_at = clock_timestamp()' : ''
    await this.#sql.query(`update erasure set calls = calls + $2::int${done} where id = $1::bigint`, [id, erased])
    return erased
  }

  async #batches(text: string, params: readonly unknown[]): Promise<number> {
    let erased = 0
    for (;;) {
      const rows = await this.#sql.query(text, params)
      erased += rows.length
      if (rows.length < BATCH) return erased
    }
  }

  async #live(row: Row): Promise<number> {
    const [found] = await this.#sql.query(LIVE, this.#callerOf(row))
    return Number(found?.count ?? 0)
  }

  /** [ESQ2] */
  #callerOf({ tenant, marks, number }: Row): unknown[] {
    return [tenant, marks, typeof number === 'string' ? this.#open(number, String(tenant)) : null]
  }

  async #refuseUnknown(tenant: string, marks: readonly string[]): Promise<void> {
    const rows = await this.#sql.query(UNKNOWN_MARKS, [tenant, marks.map((mark) => mark.slice(0, mark.indexOf(':')))])
    if (rows.length === 0) return
    const message =
      'some calls of the tenant are marked under a key that DATA_KEYS does not have: put it back, or reseal'
    throw new VoiceError('DATA_KEY_MISSING', { message })
  }

  #seal(number: string, tenant: string): string {
    return this.#sealer?.seal(number, `erasure.number ${tenant}`) ?? number
  }

  #open(number: string, tenant: string): string {
    return this.#sealer?.open(number, `erasure.number ${tenant}`) ?? number
  }
}
