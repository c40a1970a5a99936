-- FAL's deliveries for the avatar $1, applied or not: they would outlive the rows that say whose they were.
with request as (
    select id as training_id, null::uuid as generation_id, request_id, null::text as token from trainings where avatar_id = $1
    union all
    select null, id, request_id, null from generations where avatar_id = $1
    union all
    select null, null, a.request_id, a.token
      from training_attempts a
      left join trainings t on t.id = a.training_id
      left join generations g on g.id = a.generation_id
     where $1 in (t.avatar_id, g.avatar_id)
)
delete from fal_deliveries d
 using request r
 where d.training_id = r.training_id or d.generation_id = r.generation_id or d.request_id = r.request_id or d.token = r.token
