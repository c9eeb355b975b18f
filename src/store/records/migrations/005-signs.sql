-- When a pod last wrote the call's state, changed or not: a live call without signs is one that nobody looks after. Never written: null,
-- as an older program leaves it. No index has it, so that a checkpoint keeps its room in its page.
alter table call add column seen_at timestamptz;
