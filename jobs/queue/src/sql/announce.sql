-- Says that a worker is about to sleep. Must be committed before the queue's advisory lock is taken alone.
insert into queue_sleepers (queue, worker, until)
values ($1, $2, now() + make_interval(secs => $3))
on conflict (queue, worker) do update set until = excluded.until
