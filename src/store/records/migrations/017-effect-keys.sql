-- The number in the key of what an item sends: the same however often it is run again, unless a person asks for a new key.
alter table work_item add column key_number integer not null default 1;
-- What was run again before has sent its version as that number.
update work_item set key_number = version where version > 1 and state <> 'done';
