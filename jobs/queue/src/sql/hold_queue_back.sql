-- The other side asked for silence of the whole queue $1: no job starts for $2 seconds, then a probe (full_at).
insert into queue_buckets as b (queue, key, full_at, quiet_until, held_at)
values ($1, '', 'infinity', now() + make_interval(secs => $2), now())
on conflict (queue, key) do update
   set full_at = excluded.full_at, quiet_until = excluded.quiet_until, held_at = excluded.held_at
