-- Claims ahead of the slots (K3): what a crash hands back was perhaps never started, so it is charged nothing, but it
-- is under suspicion, runs alone the next time and is charged then. A poison pill ends after its attempts, and what
-- was only buffered beside it does not end with it.
--
-- Safe with the previous binary: it claims and charges as before, and leaves both columns alone; a job that it rescues
-- is not under suspicion. Locks: jobs for a moment, and against writers while its rows are read once for the index.

alter table jobs
    add column prefetched boolean not null default false,
    add column suspect boolean not null default false;
comment on column jobs.prefetched is 'How the last claim was made: ahead of the slots, so that its attempt is given back if the worker goes silent.';
comment on column jobs.suspect is 'A worker went silent while it had this job: a prefetching queue runs it alone. Cleared when a run tells how it ended.';

-- Empty but for what crashes leave.
create index jobs_suspect on jobs (queue, priority desc, run_at, id) where state = 'ready' and suspect;
