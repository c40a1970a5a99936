-- Whoever enqueues wakes: jobs/src/enqueue.rs, the only INSERT there is, calls queue_wake itself. The trigger's transition
-- table was a second copy of every row that is enqueued, and cost a bulk enqueue as much as its index entries.
-- Safe with the previous binary: its jobs are found by the next poll (queue.poll, 1 s) instead of at once, until it is
-- replaced. Locks: jobs, exclusively and for a moment, like any change of a table's triggers.
drop trigger jobs_wake on jobs;
drop function jobs_wake();
