-- Requests to erase what is kept of a tenant, or of one of its callers. The number itself is here only until the request is done.
create table erasure (
  id bigint generated always as identity primary key,
  tenant text not null,
  -- The number's marks, one under each key; null: all callers of the tenant, or no keys are configured.
  marks text[],
  -- Sealed where keys are configured; null when it is done.
  number text,
  requested_at timestamptz not null default clock_timestamp(),
  done_at timestamptz,
  calls integer not null default 0
);
create index erasure_open on erasure (id) where done_at is null;
