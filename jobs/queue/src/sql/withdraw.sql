-- As cancel.sql, by kind and key: a waiting job is ended, a running one flagged if it may be interrupted.
with live as (
    select id, state from jobs
     where kind = $1 and dedupe_key = $2 and dedupe_scope = 'until_done' and state in ('scheduled', 'ready', 'running')
       and ($3 or state <> 'running')
       for no key update
)
update jobs j
   set state = case when live.state = 'running' then j.state else 'cancelled' end,
       cancel_requested = (live.state = 'running'),
       finished_at = case when live.state = 'running' then null else now() end
  from live
 where j.id = live.id
