-- Gives back, uncharged, claims whose statement's answer was lost: nobody has started them.
with released as (
    update jobs
       set state = 'ready', attempt = attempt - 1, lease_until = null
     where queue = $1 and claim_id = $2 and state = 'running' and not cancel_requested
    returning queue
)
select count(*) as "released!", coalesce(bool_or(queue_wake(queue)), false) as "woken!" from released
