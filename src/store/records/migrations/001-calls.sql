-- The calls, what happened to them, and the intents of their tools. Later files add; none changes or drops what an older program reads.
create table call (
  call_sid text primary key,
  call_id text not null unique,
  tenant text not null,
  from_number text not null,
  to_number text not null,
  direction text not null,
  pack text not null,
  pack_version text not null,
  state text not null default 'live' check (state in ('live', 'ended')),
  epoch bigint not null,
  pod text not null,
  pool text not null,
  checkpoint text,
  -- Number of the checkpoint among those of the epoch that wrote it.
  sequence bigint not null default 0,
  checkpoint_epoch bigint not null default -1,
  resumes integer not null default 0,
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  cause text,
  next jsonb,
  -- Numbers the events and intents of the call; raised under the lock of this row.
  event_count integer not null default 0
-- A live row is rewritten each few seconds: room in its page keeps that away from the indexes, and the leavings are swept early.
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_scale_factor = 0.05);

create table call_event (
  call_sid text not null references call on delete cascade,
  seq integer not null,
  epoch bigint not null,
  type text not null,
  body jsonb not null,
  at timestamptz not null default clock_timestamp(),
  primary key (call_sid, seq)
);

create table tool_intent (
  key text primary key,
  call_sid text not null references call on delete cascade,
  seq integer not null,
  epoch bigint not null,
  tool_call_id text not null,
  name text not null,
  arguments text not null,
  output text
);
create index tool_intent_of_call on tool_intent (call_sid, seq);
