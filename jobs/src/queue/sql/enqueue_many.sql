-- Many jobs of one kind, in order. Those whose key is live, or came earlier in the list, are missing in the answer.
insert into jobs (kind, version, queue, priority, state, run_at, payload, dedupe_key, dedupe_scope, traceparent)
select $1, $2, $3, $4, 'ready', now(), job.payload, job.key, job.scope, $8
  from unnest($5::jsonb[], $6::text[], $7::dedupe_scope[]) with ordinality as job (payload, key, scope, position)
 order by job.position
on conflict do nothing
returning id, dedupe_key
