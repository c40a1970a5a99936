-- Sets both limits of a queue ($2, $3; NULL: none). $4: who, $5: why. Answers whether that changed anything.
with changed as (
    insert into queue_controls as c (queue, max_running, max_running_per_key) values ($1, $2, $3)
    on conflict (queue) do update
       set max_running = excluded.max_running, max_running_per_key = excluded.max_running_per_key
     where (c.max_running, c.max_running_per_key) is distinct from (excluded.max_running, excluded.max_running_per_key)
    returning queue
), told as (
    insert into queue_control_changes (queue, changed_by, change, reason)
    select queue, $4, format('limits: %s in all, %s per key', coalesce($2::text, 'none'), coalesce($3::text, 'none')), $5
      from changed
)
select count(*) > 0 as "changed!" from changed
