-- Rates that were used up, and silences that were asked for, at a moment which has not come yet ($1 seconds are forgiven); and
-- silences of a whole queue that are longer than any is ($2 seconds), since whatever ended one in the future left no moment.
update queue_buckets
   set quiet_until = least(quiet_until - greatest(greatest(held_at, taken_at) - now(), interval '0'),
                           case key when '' then now() + make_interval(secs => $2) end),
       full_at = case when full_at = 'infinity' then full_at
                      when greatest(held_at, taken_at) > now() then '-infinity'
                      else full_at end,
       held_at = least(held_at, now()), taken_at = least(taken_at, now())
 where greatest(held_at, taken_at) > now() + make_interval(secs => $1)
    or key = '' and quiet_until > now() + make_interval(secs => $1 + $2)
