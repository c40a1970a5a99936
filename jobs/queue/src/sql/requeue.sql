-- Puts a running job back: with a delay (retry, snooze) or ready at once (release, rescue).
-- $1, $2: job and claim. $3: delay in seconds, 0 for ready. $4: give the attempt back. $5: it is a snooze.
-- $6: how the claim ended, NULL for no history row. $7, $8: error code and message; NULL message: keep the last ones.
-- $9: its worker went silent, so it is under suspicion.
-- Waits for locks for a second: whoever waits has a connection that others need.
--
-- Two things come first. Somebody asked to cancel it: then it ends cancelled. Or a newer job of its until_started key
-- waits: then both cannot wait, and the newer one, which covers all news, goes on in its place with the attempts
-- charged so far; after a failure also not before the backoff, which news must not shorten.
with lease as (
    select id, kind, dedupe_key, dedupe_scope, claim_id, worker, claimed_at, attempt,
           attempt - case when $4 then 1 else 0 end as charged, cancel_requested
      from jobs
     where id = $1 and claim_id = $2 and state = 'running' and (select set_config('lock_timeout', '1s', true)) is not null
       for no key update
), newer as (
    select w.id
      from jobs w
     where (w.kind, w.dedupe_key) = (select kind, dedupe_key from lease
                                      where dedupe_scope = 'until_started' and not cancel_requested)
       and w.dedupe_scope = 'until_started' and w.state in ('scheduled', 'ready')
       for no key update
), successor as (
    update jobs w
       set attempt = greatest(w.attempt, lease.charged), suspect = w.suspect or $9,
           run_at = case when $6::claim_outcome in ('failed', 'timed_out', 'panicked') then greatest(w.run_at, now() + make_interval(secs => $3)) else w.run_at end,
           put_off_at = now(),
           state = case when $6::claim_outcome in ('failed', 'timed_out', 'panicked') and $3 > 0 then 'scheduled' else w.state end
      from lease
     where w.id = (select id from newer)
), history as (
    insert into job_attempts (job_id, claim_id, attempt, worker, started_at, outcome, error_code, error)
    select id, claim_id, attempt, worker, claimed_at, $6::claim_outcome, $7, $8 from lease where $6::claim_outcome is not null
), moved as (
    update jobs j
       set state = case when lease.cancel_requested then 'cancelled'
                        when exists (select from newer) then 'done'
                        when $3 > 0 then 'scheduled'
                        else 'ready' end::job_state,
           finished_at = case when lease.cancel_requested or exists (select from newer) then now() end,
           superseded_by = (select id from newer),
           run_at = case when $3 > 0 then now() + make_interval(secs => $3) else j.run_at end,
           put_off_at = case when $3 > 0 then now() else j.put_off_at end,
           attempt = lease.charged,
           snoozes = j.snoozes + case when $5 then 1 else 0 end,
           lease_until = null, prefetched = false, suspect = $9,
           error_code = case when $8 is null then j.error_code else $7 end,
           error = coalesce($8, j.error)
      from lease
     where j.id = lease.id
    returning j.state, j.queue
)
select state as "state: JobState", (state = 'ready' and queue_wake(queue)) as "woken!" from moved
