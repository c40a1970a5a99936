-- Heartbeat: moves the leases of what a worker holds ($1, $2: pairs), $3 seconds from now. A row that a transaction
-- is just changing (complete_in) is skipped and not waited for: one slow transaction must not cost the others their
-- leases. No row for a pair, or one that waits again: the claim is lost.
with mine as (
    select j.id
      from unnest($1::bigint[], $2::uuid[]) as held (id, claim_id)
      join jobs j on j.id = held.id and j.claim_id = held.claim_id
     where j.state = 'running'
       for no key update of j skip locked
), renewed as (
    update jobs set lease_until = now() + make_interval(secs => $3)
     where id = any (array (select id from mine))
    returning id
)
select j.id, j.claim_id as "claim_id!", j.state as "state: JobState", j.cancel_requested,
       (renewed.id is not null) as "renewed!"
  from unnest($1::bigint[], $2::uuid[]) as held (id, claim_id)
  join jobs j on j.id = held.id and j.claim_id = held.claim_id
  left join renewed on renewed.id = j.id
