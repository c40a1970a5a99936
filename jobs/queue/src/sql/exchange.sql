-- Acks what was done and claims what is next, in one commit: an outcome is durable before its slot is free, and a
-- busy worker pays one transaction a batch. $1, $2: (job, claim) pairs done. $3: fencing token of the new claims.
-- $4: worker. $5: lease in seconds. $6: queue. $7, $8: known kinds and their highest payload versions. $9: how many.
-- $10: ahead of the slots; suspects are left alone then, and it is told whether there are any.
with finished as (
    update jobs j
       set state = 'done', finished_at = now(), lease_until = null, cancel_requested = false
     -- A lookup of ids, then of pairs in a hashed list. A join with the list would let a plan that was made for an
     -- empty table walk the whole of it, a bare test of the state all that runs; the coalesce keeps the planner from
     -- making either of it. A row that somebody else has locked is waited for no longer than a heartbeat's commit takes:
     -- the statement fails then, and lane.rs sets that job's ack aside. (SKIP LOCKED would take each row's lock in a step
     -- of its own, a tenth of what the server spends on a job.)
     where j.id = any ($1) and (select set_config('lock_timeout', '100ms', true)) is not null
       and coalesce(j.state = 'running' and (j.id, j.claim_id) in (select * from unnest($1::bigint[], $2::uuid[])), false)
    returning j.id, j.claim_id, j.attempt, j.worker, j.claimed_at
), history as (
    -- A success at the first attempt is told by the job's own row.
    insert into job_attempts (job_id, claim_id, attempt, worker, started_at, outcome)
    select id, claim_id, attempt, worker, claimed_at, 'done' from finished where attempt > 1
), governed as (
    -- Somebody decided something for the queue, or there are keys that take turns: claimed by queue_claim_step() instead.
    select exists (select from queue_controls c where c.queue = $6 and c.governed)
           or exists (select from jobs k where k.queue = $6 and k.state = 'ready' and k.fair_key is not null)
           -- Or somebody has parked jobs that we know: one lookup a kind. A join would walk all that are parked.
           or (exists (select from jobs p where p.queue = $6 and p.state = 'ready' and p.parked_priority is not null)
               and exists (select from unnest($7::text[], $8::smallint[]) as known (kind, version)
                            where (select p.id from jobs p
                                    where p.queue = $6 and p.state = 'ready' and p.parked_priority is not null
                                      and p.kind = known.kind and p.version <= known.version
                                    limit 1) is not null)) as yes
), claimed as (
    update jobs
       set state = 'running', attempt = attempt + 1, claim_id = $3, worker = $4, prefetched = $10,
           claimed_at = now(), lease_until = now() + make_interval(secs => $5)
     -- An array, not a join, for the same reason.
     where id = any (array (
        select j.id
          from jobs j
         -- Not down to the parked ones, which come last.
         where j.queue = $6 and j.state = 'ready' and j.fair_key is null and j.priority > -32768 and not ($10 and j.suspect)
           and not (select yes from governed)
           -- NULL, hence no, for a kind that is not in the list (K4).
           and j.version <= ($8::smallint[])[array_position($7::text[], j.kind)]
           -- One of an until_started key runs at a time (K6). A waiting one that our own ack just made free is still
           -- in the way in this snapshot; the pump looks again.
           and (j.dedupe_scope is distinct from 'until_started'
                or not exists (select from jobs r
                                where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                  and r.dedupe_scope = 'until_started' and r.state = 'running'))
         order by j.priority desc, j.run_at, j.id
         limit $9
           for update of j skip locked))
    returning id, kind, payload, attempt, priority, run_at, created_at, dedupe_scope, traceparent
)
-- The claim comes first, while this statement's snapshot is fresh: what another lane or worker claims and commits
-- after it would have to be looked at anew, row by row and with all of the conditions above.
select (select count(*) from finished) as "acked!", now() as "now!", (select yes from governed) as "governed!",
       ($10 and exists (select from jobs s
                         where s.queue = $6 and s.state = 'ready' and s.suspect and s.priority > -32768
                           and s.version <= ($8::smallint[])[array_position($7::text[], s.kind)])) as "suspects!",
       c.id as "id?", c.kind as "kind?", c.payload as "payload?: Json<Box<RawValue>>", c.attempt as "attempt?",
       c.priority as "priority?", c.run_at as "run_at?", c.created_at as "created_at?",
       c.dedupe_scope as "dedupe_scope?: DedupeScope", c.traceparent as "traceparent?"
  from (values (true)) as answer
  left join claimed c on true
