-- What waits, runs and is dead, by queue, kind and state; the age in seconds of the job that has been ready longest.
-- Reads live and dead jobs by their partial indexes, never the history of done ones. Per row it only compares and
-- counts: an age for each would double the price.
select queue as "queue!", kind as "kind!", state as "state!: JobState", reason as "reason?",
       count(*) as "jobs!", extract(epoch from now() - min(ready_at))::float8 as "oldest?"
  from (
    select queue, kind, state, null::text as reason, null as ready_at from jobs where state = 'scheduled'
    union all
    select queue, kind, state, null, run_at from jobs where state = 'ready' and fair_key is null
    union all
    select queue, kind, state, null, run_at from jobs where state = 'ready' and fair_key is not null
    union all
    select queue, kind, state, null, null from jobs where state = 'running'
    union all
    select queue, kind, state, error_code, null from jobs where state = 'dead'
  ) as counted
 group by queue, kind, state, reason
