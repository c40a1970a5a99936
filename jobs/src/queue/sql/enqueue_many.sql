-- Many jobs of one kind, in order, and one word to the queue's sleepers. Those whose key is live, or came earlier in the
-- list, are missing in the answer.
with added as (
    insert into jobs (kind, version, queue, priority, state, run_at, payload, dedupe_key, dedupe_scope, traceparent)
    select $1, $2, $3, $4, 'ready', now(), job.payload, job.key, job.scope, $8
      from unnest($5::jsonb[], $6::text[], $7::dedupe_scope[]) with ordinality as job (payload, key, scope, position)
     order by job.position
    on conflict do nothing
    returning id, dedupe_key
), woken as (
    select queue_wake($3) as told where exists (select from added)
)
select id, dedupe_key from added where (select count(told) from woken) >= 0
