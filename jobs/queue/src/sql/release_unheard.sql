-- Gives back, uncharged, claims whose statement's answer was lost: nobody has started them. One whose key a newer job
-- waits for cannot wait as well: it is left to its lease, and requeue.sql finds the successor. So is one that somebody has locked.
with unheard as (
    select id from jobs j
     where queue = $1 and claim_id = $2 and state = 'running' and not cancel_requested
       and (j.dedupe_scope is distinct from 'until_started'
            or not exists (select from jobs w
                            where w.kind = j.kind and w.dedupe_key = j.dedupe_key
                              and w.dedupe_scope = 'until_started' and w.state in ('scheduled', 'ready')))
       for no key update of j skip locked
), released as (
    update jobs
       set state = 'ready', attempt = attempt - 1, lease_until = null, prefetched = false
     where id = any (array (select id from unheard))
    returning queue
)
select count(*) as "released!", coalesce(bool_or(queue_wake(queue)), false) as "woken!" from released
