-- Pauses a queue; one that is paused already stays as it is. Answers whether it was running.
with changed as (
    insert into queue_controls as c (queue, paused_at, paused_by, pause_reason) values ($1, now(), $2, $3)
    on conflict (queue) do update
       set paused_at = excluded.paused_at, paused_by = excluded.paused_by, pause_reason = excluded.pause_reason
     where c.paused_at is null
    returning queue
), told as (
    insert into queue_control_changes (queue, changed_by, change, reason) select queue, $2, 'paused', $3 from changed
)
select count(*) > 0 as "changed!" from changed
