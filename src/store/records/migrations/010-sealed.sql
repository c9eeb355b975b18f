-- Which columns are encrypted under DATA_KEYS, and by which column their row is named: `reseal` and the tests read it here. A new column
-- that holds a number or words of a call gets such a comment, or a test fails.
comment on column call.from_number is 'sealed by call_sid';
comment on column call.to_number is 'sealed by call_sid';
comment on column call.checkpoint is 'sealed by call_sid';
comment on column call.next is 'sealed members to, sentence by call_sid';
comment on column call.from_mark is 'mark of from_number';
comment on column tool_intent.arguments is 'sealed by key';
comment on column tool_intent.output is 'sealed by key';
comment on column call_record.transcript is 'sealed by call_sid';
comment on column call_record.summary is 'sealed by call_sid';
comment on column call_record.intent is 'sealed by call_sid';
comment on column call_record.disposition is 'sealed by call_sid';
comment on column erasure.number is 'sealed by tenant';
comment on column erasure.marks is 'marks of number';
