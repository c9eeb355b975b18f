-- Who rescues a call does so alone until then; live calls are found without a walk through the ended ones.
alter table call add column rescued_until timestamptz;
create index call_live on call (call_sid) where state = 'live';
