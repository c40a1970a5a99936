-- no-transaction
-- How long the last trainings of a trainer and a preset took: the photo card says it, and is written with each photo.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists trainings_durations on trainings (trainer, preset, finished_at desc)
    where status = 'completed';
