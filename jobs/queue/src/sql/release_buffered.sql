-- Gives back, uncharged, what was claimed and never started: a worker that stops empties its buffer with it. $1, $2:
-- (job, claim) pairs. Answers which; the others are to be cancelled, or may have a successor, or are locked, or lost: requeue.sql.
with buffered as (
    select id from jobs
     where id = any ($1)
       and coalesce(state = 'running' and (id, claim_id) in (select * from unnest($1::bigint[], $2::uuid[])), false)
       and not cancel_requested and dedupe_scope is distinct from 'until_started'
       for no key update skip locked
), released as (
    update jobs
       set state = 'ready', attempt = attempt - 1, lease_until = null, prefetched = false
     where id = any (array (select id from buffered))
    returning id, queue
), woken as (
    select queue_wake(r.queue) from (select distinct queue from released) as r
)
select id from released where (select count(*) from woken) >= 0
