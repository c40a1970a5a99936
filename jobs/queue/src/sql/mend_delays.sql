-- Delays that were counted from a moment which has not come yet ($1 seconds are forgiven) are counted from now.
with ahead as (
    select id, greatest(created_at, put_off_at) - now() as by
      from jobs
     where state = 'scheduled' and greatest(created_at, put_off_at) > now() + make_interval(secs => $1)
       for no key update skip locked
)
update jobs j
   set run_at = j.run_at - ahead.by, created_at = least(j.created_at, now()), put_off_at = least(j.put_off_at, now())
  from ahead
 where j.id = ahead.id
