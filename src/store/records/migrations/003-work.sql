-- What follows a call: one record of it, and items of work. Only added to.
create table work_item (
  id bigint generated always as identity primary key,
  call_sid text not null references call on delete cascade,
  type text not null,
  -- The type that must be finished before this one; null: none.
  after_type text,
  state text not null default 'ready' check (state in ('waiting', 'ready', 'running', 'done', 'dead', 'uncertain')),
  attempt integer not null default 0,
  version integer not null default 1,
  body jsonb not null default '{}',
  -- When it is due; while it runs, when its holder's lease ends.
  run_at timestamptz not null default clock_timestamp(),
  worker text,
  error text,
  -- The key of an effect that was about to be sent to a sink without keys.
  intended_key text,
  effect jsonb,
  created_at timestamptz not null default clock_timestamp(),
  done_at timestamptz,
  unique (call_sid, type)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- Due items, and all that are not done, are found without a walk through the done ones.
create index work_item_due on work_item (type, run_at) where state in ('ready', 'running');
create index work_item_open on work_item (state, id) where state <> 'done';

-- What the items found, as far as they were done. No audio, ever.
create table call_record (
  call_sid text primary key references call on delete cascade,
  duration_ms bigint,
  turns integer,
  transcript text,
  cost jsonb,
  analyser text,
  summary text,
  intent text,
  sentiment double precision check (sentiment between -1 and 1),
  lead_score smallint check (lead_score between 0 and 100),
  satisfaction smallint check (satisfaction between 1 and 5),
  is_escalated boolean,
  disposition text,
  analysed_at timestamptz,
  written_at timestamptz not null default clock_timestamp()
);

-- Whether the items of an ended call were made. Calls that ended before there were any are left as they are.
alter table call add column has_work boolean not null default false;
update call set has_work = true where state = 'ended';
create index call_without_work on call (ended_at) where state = 'ended' and not has_work;
create index call_ended on call (ended_at) where state = 'ended';
-- Finds a caller's calls also when the number itself is encrypted.
alter table call add column from_mark text;
create index call_of_caller on call (tenant, from_mark);
