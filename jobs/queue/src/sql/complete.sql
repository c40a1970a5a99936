-- Ends one running job as done. Zero: the claim is lost.
with finished as (
    update jobs
       set state = 'done', finished_at = now(), lease_until = null, cancel_requested = false
     where id = $1 and claim_id = $2 and state = 'running'
    returning id, claim_id, attempt, worker, claimed_at
), history as (
    -- A success at the first attempt is told by the job's own row.
    insert into job_attempts (job_id, claim_id, attempt, worker, started_at, outcome)
    select id, claim_id, attempt, worker, claimed_at, 'done' from finished where attempt > 1
)
select count(*) as "finished!" from finished
