-- Claims one waiting job by its id, whatever its turn. For tests and operators' tools.
update jobs
   set state = 'running', attempt = attempt + 1, claim_id = $2, worker = $3,
       priority = coalesce(parked_priority, priority), fair_key = coalesce(parked_key, fair_key), parked_priority = null, parked_key = null,
       claimed_at = now(), lease_until = now() + make_interval(secs => $4)
 where id = (select id from jobs where id = $1 and state in ('ready', 'scheduled') for update skip locked)
returning kind, payload as "payload: Json<Box<RawValue>>", attempt, dedupe_scope as "dedupe_scope: DedupeScope",
          extract(epoch from now() - created_at)::float8 as "age!", traceparent
