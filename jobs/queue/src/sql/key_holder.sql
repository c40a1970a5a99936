-- The live job because of which a dead letter ($1) cannot become ready.
select live.id
  from jobs dead
  join jobs live on live.kind = dead.kind and live.dedupe_key = dead.dedupe_key and live.dedupe_scope = dead.dedupe_scope
 where dead.id = $1 and dead.state = 'dead'
   and (live.state in ('scheduled', 'ready') or (live.state = 'running' and live.dedupe_scope = 'until_done'))
 limit 1
