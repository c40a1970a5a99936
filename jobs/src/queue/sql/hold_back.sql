-- The other side asked for silence: $3 seconds in which no job of key $2 starts in queue $1 (empty key: no job at all).
-- Where $4 keys were held back within $5 seconds it meant everybody: then the whole queue is. Answers whether so.
with held as (
    insert into queue_buckets as b (queue, key, quiet_until, held_at)
    values ($1, $2, now() + make_interval(secs => $3), now())
    on conflict (queue, key) do update
       set quiet_until = greatest(b.quiet_until, excluded.quiet_until), held_at = excluded.held_at
    returning key
), together as (
    select count(*) + 1 as keys
      from queue_buckets o
     where o.queue = $1 and o.key not in ('', $2) and o.held_at > now() - make_interval(secs => $5)
), everybody as (
    insert into queue_buckets as b (queue, key, quiet_until, held_at)
    select $1, '', now() + make_interval(secs => $3), now()
      from held, together where held.key <> '' and together.keys >= $4
    on conflict (queue, key) do update
       set quiet_until = greatest(b.quiet_until, excluded.quiet_until), held_at = excluded.held_at
    returning key
)
select exists (select from everybody) as "everybody!" from held
