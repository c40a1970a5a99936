-- Lets a paused queue go on, and ends every silence in it ($1: queue, $2: who, $3: why). Answers whether there was anything
-- to end. Its sleepers are to be woken by a later statement.
with changed as (
    update queue_controls set paused_at = null, paused_by = null, pause_reason = null
     where queue = $1 and paused_at is not null
    returning queue
), heard as (
    delete from queue_buckets where queue = $1 and (quiet_until > now() or full_at = 'infinity') returning queue
), told as (
    insert into queue_control_changes (queue, changed_by, change, reason)
    select $1, $2, case when exists (select from changed) then 'resumed' else 'silence lifted' end, $3
     where exists (select from changed) or exists (select from heard)
    returning queue
)
select count(*) > 0 as "changed!" from told
