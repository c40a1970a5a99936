-- The other side asked for silence: $3 seconds in which no job of key $2 starts in queue $1 (empty key: no job at all).
insert into queue_buckets as b (queue, key, quiet_until, held_at)
values ($1, $2, now() + make_interval(secs => $3), now())
on conflict (queue, key) do update
   -- What was asked for at a moment that has not come yet is not believed (clock.rs), and its moment is lost here.
   set quiet_until = greatest(case when b.held_at > now() + interval '1 min' then null else b.quiet_until end, excluded.quiet_until),
       held_at = excluded.held_at
