select d.id, d.request_id, coalesce(d.disposition, 'pending') as "verdict!", d.received_at, d.signed_at, d.applied_at,
       coalesce(d.training_id, known.training_id) as "training_id?: TrainingId", d.training_type, d.flags,
       octet_length(d.body) as "bytes!",
       exists (select from jobs j
                where j.kind = 'apply_fal_delivery' and j.dedupe_key = d.id::text
                  and j.state in ('scheduled', 'ready', 'running')) as "is_queued!"
  from fal_deliveries d
  -- Whose it will be once it is applied: the same two ways as apply_fal_delivery finds it.
  left join lateral (
        select id as training_id from trainings where request_id = d.request_id
        union all
        select training_id from training_attempts where token = d.token
        limit 1
  ) known on true
 where (cardinality($1::bigint[]) = 0 or d.id = any($1))
   and ($2::text is null or coalesce(d.disposition, 'pending') = $2)
   and ($3::text is null or d.request_id = $3)
   and ($4::uuid is null or coalesce(d.training_id, known.training_id) = $4)
 order by d.id desc
 limit $5
