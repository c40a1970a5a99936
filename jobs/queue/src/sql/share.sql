-- Locks the waiting jobs of until_started keys for the rest of the transaction; says which are still waiting.
with shared as (
    select dedupe_key, queue, state
      from jobs
     where kind = $1 and dedupe_key = any ($2)
       and dedupe_scope = 'until_started' and state in ('scheduled', 'ready')
       for key share
), woken as (
    select queue_wake(ready.queue) from (select distinct queue from shared where state = 'ready') as ready
)
select dedupe_key as "dedupe_key!" from shared
 where (select count(*) from woken) >= 0
