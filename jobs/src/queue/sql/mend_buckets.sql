-- Rates that were used up, and silences that were asked for, at a moment which has not come yet ($1 seconds are forgiven).
update queue_buckets
   set quiet_until = quiet_until - (greatest(held_at, taken_at) - now()),
       full_at = case when full_at = 'infinity' then full_at else '-infinity' end,
       held_at = least(held_at, now()), taken_at = least(taken_at, now())
 where greatest(held_at, taken_at) > now() + make_interval(secs => $1)
