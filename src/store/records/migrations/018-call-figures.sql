-- Counts of the call that its record tells (src/call/figures.ts); null where an older program wrote the record.
alter table call_record add column figures jsonb;
