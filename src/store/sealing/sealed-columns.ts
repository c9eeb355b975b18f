// Which columns are sealed, as the database itself says it: in the comments of its columns (migrations). Rules:
// SCO1: a comment says `sealed by <column>`, `sealed members <names> by <column>` for a JSON object, `mark of <column>` or `marks of <column>`,
//      which may go on `, of <column> where <column> is <word>`; <column> names the row in the seal's place. A comment of another form says nothing about sealing.
// SCO2: tables that hold marks of a request come first: a call that is marked anew is found by the request's new marks already.
import type { SqlQuery } from '../records/sql.ts'

export type SealedField =
  | { kind: 'sealed'; column: string; rowName: string; members: readonly string[] | undefined }
  /** `unless`: the mark is of another column where a column has that value. */
  | {
      kind: 'mark' | 'marks'
      column: string
      of: string
      unless: { column: string; is: string; of: string } | undefined
    }

/** A table with sealed columns; `key` is its primary key. */
export type SealedTable = { name: string; key: string; fields: readonly SealedField[] }

const COMMENTS = `
select c.relname as name, a.attname as column_name, d.description, (
    select k.attname from pg_index i join pg_attribute k on k.attrelid = c.oid and k.attnum = i.indkey[0]
    where i.indrelid = c.oid and i.indisprimary) as key
from pg_description d
join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass and d.objsubid > 0
join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
where c.relkind = 'r' and pg_table_is_visible(c.oid) and c.relnamespace <> 'pg_catalog'::regnamespace
order by c.relname, a.attnum`

const SEALED = /^sealed(?: members (?<members>[a-z_]+(?:, [a-z_]+)*))? by (?<rowName>[a-z_]+)$/
const MARK = /^(?<kind>marks?) of (?<of>[a-z_]+)(?:, of (?<other>[a-z_]+) where (?<where>[a-z_]+) is (?<is>[a-z]+))?$/

/** [SCO1] Undefined: the comment says nothing about sealing. */
function readComment(column: string, text: string): SealedField | undefined {
  const sealed = SEALED.exec(text)?.groups
  if (sealed !== undefined)
    return { kind: 'sealed', column, rowName: sealed.rowName!, members: sealed.members?.split(', ') }
  const mark = MARK.exec(text)?.groups
  if (mark === undefined) return undefined
  const { kind, of, other, where, is } = mark
  const unless = other === undefined ? undefined : { column: where!, is: is!, of: other }
  return { kind: kind as 'mark' | 'marks', column, of: of!, unless }
}

/** The tables with sealed columns of an open database, in the order of SCO2. */
export async function readSealedTables(sql: SqlQuery): Promise<SealedTable[]> {
  const tables = new Map<string, { name: string; key: string; fields: SealedField[] }>()
  for (const row of await sql.query(COMMENTS, [])) {
    const field = readComment(String(row.column_name), String(row.description))
    if (field === undefined) continue
    const name = String(row.name)
    const table = tables.get(name) ?? { name, key: String(row.key), fields: [] }
    table.fields.push(field)
    tables.set(name, table)
  }
  const holdsMarks = ({ fields }: SealedTable) => (fields.some(({ kind }) => kind === 'marks') ? 0 : 1)
  return [...tables.values()].sort((one, other) => holdsMarks(one) - holdsMarks(other))
}
