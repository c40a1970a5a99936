-- Each arm is what one partial unique index is about, so that a million finished jobs cost nothing.
select kind, dedupe_key from jobs
 where dedupe_scope = 'until_done' and state in ('scheduled', 'ready', 'running') and kind = any($1) and dedupe_key = any($2)
union
select kind, dedupe_key from jobs
 where dedupe_scope = 'until_started' and state in ('scheduled', 'ready') and kind = any($1) and dedupe_key = any($2)
union
select kind, dedupe_key from jobs
 where dedupe_scope = 'until_started' and state = 'running' and kind = any($1) and dedupe_key = any($2)
