-- How often the call's pod or socket was lost, one loss soon after the other, and when it last was. A planned move does not count.
-- An earlier program counts all moves in `resumes` and leaves these as they are.
alter table call add column failovers integer not null default 0;
alter table call add column failover_at timestamptz;
