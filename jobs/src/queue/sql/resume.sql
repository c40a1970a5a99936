-- Lets a paused queue go on. Answers whether it was paused. Its sleepers are to be woken by a later statement.
with changed as (
    update queue_controls set paused_at = null, paused_by = null, pause_reason = null
     where queue = $1 and paused_at is not null
    returning queue
), told as (
    insert into queue_control_changes (queue, changed_by, change, reason) select queue, $2, 'resumed', $3 from changed
)
select count(*) > 0 as "changed!" from changed
