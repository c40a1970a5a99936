-- Makes a dead letter ready again, with all its attempts and a new time for snoozes; how it went before stays in
-- job_attempts. Fails on a unique index if its dedupe key is taken. No row: it is no dead letter (any more).
with retried as (
    update jobs
       set state = 'ready', attempt = 0, snoozes = 0, run_at = now(), created_at = now(), finished_at = null
     where id = $1 and state = 'dead'
    returning queue
)
select queue_wake(queue) as "woken!" from retried
