-- Claims one job that a worker went silent with; it runs alone, and is charged. $1: fencing token. $2: worker.
-- $3: lease in seconds. $4: queue. $5, $6: known kinds and their highest payload versions.
update jobs
   set state = 'running', attempt = attempt + 1, claim_id = $1, worker = $2, prefetched = false,
       claimed_at = now(), lease_until = now() + make_interval(secs => $3)
 -- As in exchange.sql.
 where id = any (array (
    select j.id
      from jobs j
     where j.queue = $4 and j.state = 'ready' and j.suspect and j.priority > -32768
       -- A governed queue's suspects have their turn like all others, none of which is claimed ahead.
       and not exists (select from queue_controls c where c.queue = $4 and c.governed) and j.fair_key is null
       and j.version <= ($6::smallint[])[array_position($5::text[], j.kind)]
       and (j.dedupe_scope is distinct from 'until_started'
            or not exists (select from jobs r
                            where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                              and r.dedupe_scope = 'until_started' and r.state = 'running'))
     order by j.priority desc, j.run_at, j.id
     limit 1
       for update of j skip locked))
returning 0::bigint as "acked!", now() as "now!", true as "suspects!", false as "governed!", id as "id?", kind as "kind?",
          payload as "payload?: Json<Box<RawValue>>", attempt as "attempt?", priority as "priority?",
          run_at as "run_at?", created_at as "created_at?", dedupe_scope as "dedupe_scope?: DedupeScope",
          traceparent as "traceparent?"
