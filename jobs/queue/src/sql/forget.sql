-- Deletes the ended jobs with this fairness key ($1) or one of these dedupe keys ($2); their attempts go with them. Those that
-- wait are cancelled first, by the statement before this one. Answers how many are left: the running ones.
with gone as (
    delete from jobs
     where (fair_key = $1 or dedupe_key = any ($2)) and state in ('done', 'cancelled', 'dead')
    returning id
), bucket as (
    delete from queue_buckets where key = $1
)
select count(*) as "left!" from jobs
 where (fair_key = $1 or dedupe_key = any ($2)) and state in ('scheduled', 'ready', 'running')
