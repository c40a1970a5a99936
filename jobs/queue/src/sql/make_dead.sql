-- Makes a running job a dead letter. $3: give the attempt back (it was claimed only to be made dead).
-- $4: how the claim ended. $5, $6: dead reason.
with dead_now as (
    update jobs
       set state = 'dead', finished_at = now(), lease_until = null, cancel_requested = false,
           attempt = attempt - case when $3 then 1 else 0 end, error_code = $5, error = $6
     where id = $1 and claim_id = $2 and state = 'running'
    returning id, claim_id, attempt, worker, claimed_at, kind, payload, queue, traceparent
), history as (
    insert into job_attempts (job_id, claim_id, attempt, worker, started_at, outcome, error_code, error)
    select id, claim_id, attempt, worker, claimed_at, $4::claim_outcome, $5, $6 from dead_now
)
select kind, payload as "payload: Json<Box<RawValue>>", traceparent,
       -- A dead worker's last attempt gives a place free that nobody else tells of.
       (exists (select from queue_controls c where c.queue = dead_now.queue and c.governed) and queue_wake(queue)) as "woken!"
  from dead_now
