-- As enqueue_many.sql, for jobs without keys: nothing can be in the way, so nothing is looked for.
with added as (
    insert into jobs (kind, version, queue, priority, state, run_at, payload, traceparent)
    select $1, $2, $3, $4, 'ready', now(), job.payload, $6
      from unnest($5::jsonb[]) with ordinality as job (payload, position)
     order by job.position
    returning id
), woken as (
    select queue_wake($3) as told where exists (select from added)
)
select id from added where (select count(told) from woken) >= 0
