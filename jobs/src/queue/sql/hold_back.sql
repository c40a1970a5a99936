-- The other side asked for silence: $3 seconds in which no job of key $2 starts in queue $1 (empty key: no job at all).
insert into queue_buckets as b (queue, key, quiet_until, held_at)
values ($1, $2, now() + make_interval(secs => $3), now())
on conflict (queue, key) do update
   set quiet_until = greatest(b.quiet_until, excluded.quiet_until), held_at = excluded.held_at
