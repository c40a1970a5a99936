-- Cancels a live job: a waiting one is ended, a running one flagged. Answers the state before; no row: not live.
with live as (
    select id, state from jobs where id = $1 and state in ('scheduled', 'ready', 'running') for no key update
)
update jobs j
   set state = case when live.state = 'running' then j.state else 'cancelled' end,
       cancel_requested = (live.state = 'running'),
       finished_at = case when live.state = 'running' then null else now() end
  from live
 where j.id = live.id
returning live.state as "state: JobState"
