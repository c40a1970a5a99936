-- Jobs that a worker does not know (K4) are parked: taken out of its way, and still whoever's who knows them.
--
-- They lay before the known ones in the index, and each claim walked past all of them: a second for a million jobs of a
-- kind that was removed from the code. A worker that meets unknown jobs now puts them behind all others of the queue:
-- the lowest priority there is, and no fairness key. What both were is kept beside. A claim by a worker that knows some of
-- them brings the first of them back, and then claims in the usual order. So it does no harm if an old worker parks what
-- a new one is about to take: nothing is hidden, and nothing waits for a sweep.
--
-- Safe with the previous binary: a parked job that it knows it claims last, and without its turn. Its own are not parked.
-- Locks: jobs, for an instant (no rewrite).

alter table jobs
    add column parked_priority smallint,
    add column parked_key text collate "C";
comment on column jobs.parked_priority is 'Its priority, while it is parked: a worker met it that does not know its kind or version. NULL: it is not parked.';
comment on column jobs.parked_key      is 'Its fairness key, while it is parked. NULL: it has none, or is not parked.';
comment on column jobs.priority        is 'Higher first within a queue; from the kind''s policy at enqueue. -32768: the job is parked.';
