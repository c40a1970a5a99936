-- Where $3 keys of queue $1 were held back within $4 seconds it meant everybody; while the queue is probed, one is enough.
-- No job starts then until the first of their waits is over, and for $2 seconds at most: a longer one is that key's own.
-- What comes then is a probe (full_at).
insert into queue_buckets as b (queue, key, full_at, quiet_until, held_at)
select $1, '', 'infinity', least(told.first, now() + make_interval(secs => $2)), now()
  from (select count(*) as keys, min(o.quiet_until) as first
          from queue_buckets o
         where o.queue = $1 and o.key <> '' and o.held_at > now() - make_interval(secs => $4)) as told
 where told.keys >= $3
    or told.keys > 0 and exists (select from queue_buckets p where p.queue = $1 and p.key = '' and p.full_at = 'infinity')
on conflict (queue, key) do update
   set full_at = excluded.full_at, quiet_until = excluded.quiet_until, held_at = excluded.held_at
returning extract(epoch from quiet_until - now())::float8 as "seconds!"
