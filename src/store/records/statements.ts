// The statements of the records, for PostgreSQL 15. Rules:
// RT1: a guard is `epoch <= mine and state = 'live'`: no higher epoch has claimed or written. A writer of a higher epoch than the
//      row's raises it: its claim could not be written when the call moved.
// RT2: where a verdict is needed beside the write, the row is locked first and the verdict is that of the locked row.
import { epochMs } from './sql.ts'

/** A new row with its first event. $1 Call SID, $2 call id, $3 tenant, $4 from, $5 to, $6 direction, $7 pack, $8 its version, $9 pod, $10 pool, $11 mark of the far party, $12 epoch */
export const OPEN = `
with opened as (
  insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, from_mark, epoch, event_count)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::bigint, 1)
  on conflict do nothing
  returning call_sid, epoch, pod, pool
)
insert into call_event (call_sid, seq, epoch, type, body)
select call_sid, 1, epoch, 'opened', jsonb_build_object('pod', pod, 'pool', pool) from opened
returning call_sid`

/** $1 Call SID, $2 epoch, $3 pod, $4 pool, $5 whether it is a failover, $6 ms after which failovers count anew */
export const CLAIM = `
with claimed as (
  update call set epoch = $2::bigint, pod = $3, pool = $4, resumes = resumes + 1, event_count = event_count + 1,
    failovers = case when not $5::boolean then failovers
      when failover_at > clock_timestamp() - make_interval(secs => $6::float8 / 1000) then failovers + 1 else 1 end,
    failover_at = case when $5::boolean then clock_timestamp() else failover_at end
  where call_sid = $1 and epoch < $2::bigint and state = 'live'
  returning call_sid, event_count, epoch, pod, pool
)
insert into call_event (call_sid, seq, epoch, type, body)
select call_sid, event_count, epoch, 'claimed', jsonb_build_object('pod', pod, 'pool', pool) from claimed`

/** Arrays of one length: $1 Call SIDs, $2 epochs, $3 sequences, $4 texts; one that is not newer is a sign of life. Gives back the fenced. [RT2] */
export const SAVE = `
with asked as (
  select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) as a (call_sid, epoch, sequence, body)
), locked as materialized (
  select c.call_sid, a.epoch, a.sequence, a.body, c.epoch <= a.epoch and c.state = 'live' as held,
    c.checkpoint_epoch < a.epoch or c.sequence < a.sequence as is_newer
  from call c join asked a on a.call_sid = c.call_sid
  order by c.call_sid
  for no key update of c
), saved as (
  update call c set checkpoint = l.body, sequence = l.sequence, checkpoint_epoch = l.epoch, epoch = l.epoch, seen_at = clock_timestamp()
  from locked l
  where c.call_sid = l.call_sid and l.held and l.is_newer and c.epoch <= l.epoch and c.state = 'live'
), signed as (
  update call c set seen_at = clock_timestamp()
  from locked l
  where c.call_sid = l.call_sid and l.held and not l.is_newer
    and not exists (select 1 from locked o where o.call_sid = l.call_sid and o.held and o.is_newer) and c.epoch <= l.epoch and c.state = 'live'
)
select distinct call_sid from locked where not held`

/** $1 Call SID, $2 epoch, $3 key, $4 tool call id, $5 name, $6 arguments. `held` 0: fenced or unknown; `made` 0: known. */
export const INTEND = `
with held as (
  update call set event_count = event_count + 1, epoch = $2::bigint
  where call_sid = $1 and epoch <= $2::bigint and state = 'live'
  returning call_sid, epoch, event_count
), made as (
  insert into tool_intent (key, call_sid, seq, epoch, tool_call_id, name, arguments)
  select $3, call_sid, event_count, epoch, $4, $5, $6 from held
  on conflict (key) do nothing
  returning call_sid, seq, epoch, key, name
), noted as (
  insert into call_event (call_sid, seq, epoch, type, body)
  select call_sid, seq, epoch, 'tool-intended', jsonb_build_object('key', key, 'name', name) from made
)
select (select count(*)::int from held) as held, (select count(*)::int from made) as made`

/** $1 key, $2 Call SID */
export const OUTPUT_OF = 'select output from tool_intent where key = $1 and call_sid = $2'

/** The first answer stands; an answer may come after the end, of the epoch that ended. $1 Call SID, $2 epoch, $3 key, $4 output */
export const SETTLE = `
with held as (
  update call set epoch = $2::bigint
  where call_sid = $1 and (epoch = $2::bigint or (epoch < $2::bigint and state = 'live'))
  returning call_sid
)
update tool_intent t set output = coalesce(t.output, $4)
from held where t.key = $3 and t.call_sid = held.call_sid
returning t.key`

/** $1 Call SID, $2 epoch, $3 cause, $4 next, $5 checkpoint */
export const END = `
with ended as (
  update call set state = 'ended', ended_at = clock_timestamp(), cause = $3, next = $4::jsonb, epoch = $2::bigint,
    checkpoint = coalesce($5, checkpoint), event_count = event_count + 1
  where call_sid = $1 and epoch <= $2::bigint and state = 'live'
  returning call_id, call_sid, tenant, pack, pack_version, cause, epoch, event_count
), noted as (
  insert into call_event (call_sid, seq, epoch, type, body)
  select call_sid, event_count, epoch, 'ended', jsonb_build_object('cause', cause) from ended
)
select call_id, call_sid, tenant, pack, pack_version, cause from ended`

/** $1 Call SID */
export const STATE_OF = 'select state, epoch::float8 as epoch from call where call_sid = $1'

/** $1 Call SID to go on after ('' for the first), $2 most rows */
export const LIVE = `
select call_sid, epoch::float8 as epoch, pod from call where state = 'live' and call_sid > $1 order by call_sid limit $2::int`

/** Live calls without a sign for $3 ms, or never with one and begun $4 ms ago. $1 Call SID to go on after, $2 most rows */
export const SILENT = `
select call_sid, epoch::float8 as epoch, pod from call
where state = 'live' and call_sid > $1
  and coalesce(seen_at + make_interval(secs => $3::float8 / 1000), started_at + make_interval(secs => $4::float8 / 1000)) <= clock_timestamp()
order by call_sid limit $2::int`

/** $1 Call SID, $2 epoch, $3 for how many ms */
export const TAKE = `
update call set rescued_until = clock_timestamp() + make_interval(secs => $3::float8 / 1000)
where call_sid = $1 and epoch = $2::bigint and state = 'live'
  and (rescued_until is null or rescued_until <= clock_timestamp())
returning call_sid`

/** The whole row with its intents in their order. $1 Call SID, $2 ms after which failovers count anew */
export const FIND = `
select call_id, call_sid, tenant, from_number, to_number, direction, pack, pack_version, state, epoch::float8 as epoch, pod, pool,
  checkpoint, sequence::float8 as sequence, resumes,
  case when failover_at > clock_timestamp() - make_interval(secs => $2::float8 / 1000) then failovers else 0 end as failovers,
  ${epochMs('started_at')} as started_at_ms,
  ${epochMs('ended_at')} as ended_at_ms, cause, next,
  (select coalesce(json_agg(json_build_object('key', t.key, 'toolCallId', t.tool_call_id, 'name', t.name,
      'argumentsText', t.arguments, 'output', t.output) order by t.seq), '[]')
    from tool_intent t where t.call_sid = c.call_sid) as intents
from call c where call_sid = $1`
