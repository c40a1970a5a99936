-- Many jobs of one kind, and one word to the queue's sleepers if any may run. Those whose key is live, or came earlier in
-- the list, are missing in the answer. $1 to $3, $8: of all. The others are columns: $4 priorities, $5 payloads, $6, $7
-- keys and their scopes, $9 delays in seconds, $10 moments instead of them, $11 fairness keys.
--
-- In the order of the list, which has the keys in an order that every caller keeps to: none waits for one that waits for it.
with added as (
    insert into jobs (kind, version, queue, priority, state, run_at, payload, dedupe_key, dedupe_scope, traceparent, fair_key)
    select $1, $2, $3, job.priority,
           case when due.at > now() then 'scheduled'::job_state else 'ready' end,
           due.at, job.payload, job.key, job.scope, $8, job.fair_key
      from unnest($4::smallint[], $5::jsonb[], $6::text[], $7::dedupe_scope[], $9::float8[], $10::timestamptz[], $11::text[])
           with ordinality as job (priority, payload, key, scope, delay, moment, fair_key, position),
           lateral (select coalesce(job.moment, now() + make_interval(secs => job.delay))) as due (at)
     order by job.position
    on conflict do nothing
    returning id, dedupe_key, state
), woken as (
    select queue_wake($3) as told where exists (select from added where state = 'ready')
)
select id, dedupe_key from added where (select count(told) from woken) >= 0
