-- Which of our running jobs ($1, $2: (job, claim) pairs) somebody else has locked. Those that are no longer ours are not
-- among them. Waits for nothing.
with free as (
    select id
      from jobs
     where id = any ($1) and state = 'running'
       and coalesce((id, claim_id) in (select * from unnest($1::bigint[], $2::uuid[])), false)
       for no key update skip locked
)
select id
  from jobs
 where id = any ($1) and state = 'running'
   and coalesce((id, claim_id) in (select * from unnest($1::bigint[], $2::uuid[])), false)
   and not coalesce(id in (select id from free), false)
