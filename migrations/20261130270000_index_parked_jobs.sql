-- no-transaction
-- By kind and version, for who knows them; each in the order of the queue. Empty unless there are unknown jobs.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists jobs_parked on jobs (queue, kind, version, parked_priority desc, run_at, id)
    where state = 'ready' and parked_priority is not null;
