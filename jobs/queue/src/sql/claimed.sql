-- What was just claimed from a queue under a token. Not in the order of the queue: a sort is what these connections
-- believe to be dear (engine.rs), dear enough to be compiled anew each time.
select id, kind, payload as "payload: Json<Box<RawValue>>", attempt, dedupe_scope as "dedupe_scope: DedupeScope",
       extract(epoch from claimed_at - created_at)::float8 as "age!",
       extract(epoch from claimed_at - greatest(run_at, created_at))::float8 as "waited!", priority, run_at, traceparent
  from jobs
 where queue = $1 and state = 'running' and claim_id = $2
