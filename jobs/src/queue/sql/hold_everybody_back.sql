-- Where $3 keys of queue $1 were held back within $4 seconds it meant everybody: no job starts for $2 seconds then.
insert into queue_buckets as b (queue, key, quiet_until, held_at)
select $1, '', now() + make_interval(secs => $2), now()
 where $3 <= (select count(*) from queue_buckets o
               where o.queue = $1 and o.key <> '' and o.held_at > now() - make_interval(secs => $4))
on conflict (queue, key) do update
   set quiet_until = greatest(b.quiet_until, excluded.quiet_until), held_at = excluded.held_at
