-- One job, and a word to the queue's sleepers if it may run. No row: a job with the key is live.
with added as (
    insert into jobs (kind, version, queue, payload, priority, state, run_at, dedupe_key, dedupe_scope, traceparent, fair_key)
    select $1, $2, $3, $4, $5,
           case when due.at > now() then 'scheduled'::job_state else 'ready' end,
           due.at, $8, $9, $10, $11
      from (select coalesce($7::timestamptz, now() + make_interval(secs => $6))) as due (at)
    on conflict do nothing
    returning id, queue, state
)
select id, (state = 'ready' and queue_wake(queue)) as "woken!" from added
