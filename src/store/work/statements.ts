// The statements of the work after calls, for PostgreSQL 15. Each is whole by itself: what belongs together is one statement.
import { epochMs } from '../records/sql.ts'

const NOW = 'clock_timestamp()'
/** Any number that nobody else takes for the first half of an advisory lock of this database. */
const CALL_BACK_LOCK = 417_302
const after = (ms: string): string => `${NOW} + make_interval(secs => ${ms}::float8 / 1000)`

/** The successor of what `which` (call_sid, type) finished becomes ready. */
const NEXT = (which: string): string => `
next as (
  update work_item w set state = 'ready', run_at = ${NOW}
  from ${which} f where w.call_sid = f.call_sid and w.after_type = f.type and w.state = 'waiting'
)`

/** Rows of items for the calls of `which` (call_sid); $2 types, $3 the type before each, null for none. */
const MADE = (which: string): string => `
made as (
  insert into work_item (call_sid, type, after_type, state)
  select m.call_sid, t.type, t.after_type, case when t.after_type is null then 'ready' else 'waiting' end
  from ${which} m cross join unnest($2::text[], $3::text[]) as t (type, after_type)
  on conflict (call_sid, type) do nothing
), marked as (
  update call c set has_work = true from ${which} m where c.call_sid = m.call_sid returning c.call_sid
)`

/** Locks the call first, as DERIVE does: the two cannot deadlock. $1 Call SID, $2 types, $3 types before */
export const ADD = `
with asked as materialized (
  select call_sid from call where call_sid = $1 and state = 'ended' for no key update
), ${MADE('asked')}
select count(*)::int as count from marked`

/** $1 most calls, $2 types, $3 types before */
export const DERIVE = `
with missing as materialized (
  select call_sid from call where state = 'ended' and not has_work order by ended_at limit $1::int for no key update skip locked
), ${MADE('missing')}
select count(*)::int as count from marked`

/** Items whose workers died again and again. $1 most attempts, $2 what to say */
export const BURY = `
with buried as (
  update work_item set state = 'dead', error = $2
  where state = 'running' and run_at <= ${NOW} and attempt >= $1::int
  returning call_sid, type
), ${NEXT('buried')}
select count(*)::int as count from buried`

/** Each type reads the front of its own index, however long its queue. $1 types, $2 most items, $3 worker, $4 lease in ms, $5 most attempts */
export const CLAIM = `
with due as materialized (
  select i.id, i.run_at from unnest($1::text[]) as t (type) cross join lateral (
    select id, run_at from work_item
    where state in ('ready', 'running') and type = t.type and run_at <= ${NOW} and attempt < $5::int
    order by run_at limit $2::int for no key update skip locked
  ) i order by i.run_at limit $2::int
)
update work_item w set state = 'running', attempt = w.attempt + 1, worker = $3, run_at = ${after('$4')}
from due, call c
where w.id = due.id and c.call_sid = w.call_sid
returning w.id::text as id, w.call_sid, c.call_id, c.tenant, w.type, w.attempt, w.version, w.key_number, w.body,
  ${epochMs('due.run_at')} as due_ms, ${epochMs('w.created_at')} as created_at_ms`

/** Arrays of one length: $1 ids, $2 attempts, $3 versions; $4 lease in ms. Gives back the held. */
export const RENEW = `
update work_item w set run_at = ${after('$4')}
from unnest($1::bigint[], $2::int[], $3::int[]) as a (id, attempt, version)
where w.id = a.id and w.attempt = a.attempt and w.version = a.version and w.state = 'running'
returning w.id::text as id, w.attempt, w.version`

/** The fence of a holder: $1 id, $2 attempt, $3 version. */
const IS_HELD = `id = $1::bigint and attempt = $2::int and version = $3::int and state = 'running'`

/** $1 to $3 the fence, $4 effect */
const DONE = `
done as (
  update work_item set state = 'done', error = null, effect = $4::jsonb, done_at = ${NOW}
  where ${IS_HELD}
  returning call_sid, type
), ${NEXT('done')}`

/** $1 to $3 the fence, $4 effect */
export const FINISH = `with ${DONE} select call_sid from done`

/** $1 to $4 as above, $5 duration in ms, $6 turns, $7 transcript, $8 cost, $9 figures */
export const FINISH_RECORD = `
with ${DONE}, kept as (
  insert into call_record (call_sid, duration_ms, turns, transcript, cost, figures)
  select call_sid, $5::bigint, $6::int, $7, $8::jsonb, $9::jsonb from done
  on conflict (call_sid) do update set duration_ms = excluded.duration_ms, turns = excluded.turns,
    transcript = excluded.transcript, cost = excluded.cost, figures = excluded.figures,
    written_at = ${NOW}
)
select call_sid from done`

/** $1 to $4 as above, $5 analyser, $6 summary, $7 intent, $8 sentiment, $9 lead score, $10 satisfaction, $11 escalated, $12 disposition */
export const FINISH_ANALYSIS = `
with ${DONE}, kept as (
  insert into call_record (call_sid, analyser, summary, intent, sentiment, lead_score, satisfaction, is_escalated,
    disposition, analysed_at)
  select call_sid, $5, $6, $7, $8::float8, $9::smallint, $10::smallint, $11::boolean, $12, ${NOW} from done
  on conflict (call_sid) do update set analyser = excluded.analyser, summary = excluded.summary, intent = excluded.intent,
    sentiment = excluded.sentiment, lead_score = excluded.lead_score, satisfaction = excluded.satisfaction,
    is_escalated = excluded.is_escalated, disposition = excluded.disposition, analysed_at = excluded.analysed_at
)
select call_sid from done`

/** $1 to $3 the fence, $4 next state, $5 error, $6 wait in ms, $7 most attempts */
export const FAIL = `
with failed as (
  update work_item set error = $5, run_at = ${after('$6')},
    state = case when $4 = 'ready' and attempt >= $7::int then 'dead' else $4 end
  where ${IS_HELD}
  returning call_sid, type, state
), finished as (select call_sid, type from failed where state in ('dead', 'uncertain')), ${NEXT('finished')}
select state from failed`

/** $1 to $3 the fence, $4 key */
export const INTEND = `
update work_item set intended_key = $4
where ${IS_HELD} and intended_key is distinct from $4
returning id`

/** $1 to $3 the fence */
export const HELD = `select 1 from work_item where ${IS_HELD}`

/** $1 Call SID, $2 body */
export const ADD_RECORDING = `
insert into work_item (call_sid, type, body) select call_sid, 'recording', $2::jsonb from call where call_sid = $1
on conflict (call_sid, type) do nothing returning id`

/** The call of somebody who never came to an agent. $1 Call SID, $2 call id, $3 tenant, $4 from, $5 to, $6 direction, $7 pack, $8 its version, $9 pod, $10 mark of the far party */
export const ADD_WAITER = `
insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, from_mark, epoch,
  state, ended_at, cause, has_work)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'default', $10, 0, 'ended', ${NOW}, 'queue-overflow', true)
on conflict do nothing`

/** $1 Call SID, $2 type, $3 body */
export const ADD_ITEM = `
insert into work_item (call_sid, type, body) values ($1, $2, $3::jsonb) on conflict (call_sid, type) do nothing returning id`

/** Call-backs of a tenant are asked for one after the other. $1 tenant */
export const LOCK_CALL_BACKS = `select pg_advisory_xact_lock(${CALL_BACK_LOCK}, hashtext($1))`

/** $1 tenant, $2 mark of the far party (null without keys), $3 its number, $4 Call SID. How many are open, and whether one is the same person's or of the same call. */
export const OPEN_CALL_BACKS = `
select count(*)::int as open, coalesce(bool_or(c.call_sid = $4 or c.from_mark = $2 or (c.from_mark is null and
  regexp_replace(c.from_number, '[^+0-9]', '', 'g') = $3)), false) as is_known
from work_item w join call c on c.call_sid = w.call_sid
where w.type = 'call-back' and w.state in ('ready', 'running') and c.tenant = $1`

/** $1 to $3 the fence, $4 body */
export const KEEP = `update work_item set body = body || $4::jsonb where ${IS_HELD} returning id`

/** $1 id to go on before (null for the newest), $2 most rows */
export const VOICEMAILS = `
select w.id::text as id, w.call_sid, c.call_id, c.tenant, w.type, w.state, w.error, w.body,
  ${epochMs('w.created_at')} as created_at_ms
from work_item w join call c on c.call_sid = w.call_sid
where w.type = 'voicemail' and ($1::bigint is null or w.id < $1::bigint) order by w.id desc limit $2::int`

/** $1 Call SID */
export const KNOWS = 'select 1 from call where call_sid = $1'

/** A person has decided: what was intended before holds nothing up. $1 id, $2 whether its effects get a new key */
export const RERUN = `
update work_item set state = 'ready', attempt = 0, version = version + 1, error = null, run_at = ${NOW}, intended_key = null,
  key_number = case when $2::boolean then key_number + 1 else key_number end
where id = $1::bigint and state in ('dead', 'uncertain') returning id`

const ENTRY = `w.id::text as id, w.call_sid, c.call_id, c.tenant, w.type, w.attempt, w.version, w.key_number, w.state, w.error,
  ${epochMs('w.created_at')} as created_at_ms, ${epochMs('w.run_at')} as run_at_ms`

/** $1 state, $2 id to go on before (null for the newest), $3 most rows */
export const LIST = `
select ${ENTRY} from work_item w join call c on c.call_sid = w.call_sid
where w.state = $1 and ($2::bigint is null or w.id < $2::bigint) order by w.id desc limit $3::int`

export const DEPTH = `
select type, state, count(*)::int as count,
  greatest(0, ${epochMs(`${NOW} - min(run_at)`)}) as oldest_ms
from work_item where state <> 'done' group by type, state`

/** $1 Call SID */
export const RECORD = `
select c.call_sid, c.call_id, c.tenant, c.from_number, c.to_number, c.direction, c.pack, c.cause,
  ${epochMs('c.started_at')} as started_at_ms,
  ${epochMs('c.ended_at')} as ended_at_ms,
  r.duration_ms::float8 as duration_ms, r.turns, r.figures, r.transcript, r.cost, r.analyser, r.summary, r.intent,
  r.sentiment, r.lead_score, r.satisfaction, r.is_escalated, r.disposition
from call c left join call_record r on r.call_sid = c.call_sid where c.call_sid = $1`
