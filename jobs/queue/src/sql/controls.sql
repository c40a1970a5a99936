-- Every queue of $1 with what was decided for it and what it holds, in that order. Counts what is live, by index.
select q.queue as "queue!", c.paused_at as "paused_at?", c.paused_by as "paused_by?", c.pause_reason as "pause_reason?",
       c.max_running as "max_running?", c.max_running_per_key as "max_running_per_key?",
       (select count(*) from jobs j where j.queue = q.queue and j.state = 'ready' and j.fair_key is null)
       + (select count(*) from jobs j where j.queue = q.queue and j.state = 'ready' and j.fair_key is not null) as "ready!",
       (select count(*) from jobs j where j.queue = q.queue and j.state = 'scheduled') as "scheduled!",
       (select count(*) from jobs j where j.queue = q.queue and j.state = 'running') as "running!",
       (select b.quiet_until from queue_buckets b
         where b.queue = q.queue and b.key = '' and (b.quiet_until > now() or b.full_at = 'infinity')) as "silent_until?",
       (select count(*) from queue_buckets b where b.queue = q.queue and b.key <> '' and b.quiet_until > now()) as "silent_keys!",
       (select max(b.quiet_until) from queue_buckets b
         where b.queue = q.queue and b.key <> '' and b.quiet_until > now()) as "silent_keys_until?"
  from unnest($1::text[]) with ordinality as q (queue, position)
  left join queue_controls c on c.queue = q.queue
 order by q.position
