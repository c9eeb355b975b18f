-- The mark is of the far party: of whom we called, when the call was outbound. `reseal` marks older calls so.
comment on column call.from_mark is 'mark of from_number, of to_number where direction is outbound';
