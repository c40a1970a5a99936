-- Heartbeat: moves the leases of what a worker holds ($1, $2: pairs), $3 seconds from now. A row that a transaction
-- is just changing (complete_in) is skipped and not waited for: one slow transaction must not cost the others their
-- leases. No row for a pair, or one that waits again: the claim is lost. Why no joins: see exchange.sql.
with mine as (
    select id
      from jobs
     where id = any ($1) and state = 'running'
       and coalesce((id, claim_id) in (select * from unnest($1::bigint[], $2::uuid[])), false)
       for no key update skip locked
), renewed as (
    update jobs set lease_until = now() + make_interval(secs => $3)
     where id = any (array (select id from mine))
    returning id
)
select id, claim_id as "claim_id!", state as "state: JobState", cancel_requested,
       coalesce(id in (select id from renewed), false) as "renewed!"
  from jobs
 where id = any ($1) and coalesce((id, claim_id) in (select * from unnest($1::bigint[], $2::uuid[])), false)
