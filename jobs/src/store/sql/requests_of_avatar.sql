-- FAL's ids of the requests for the avatar $1: of its trainings and pictures, of attempts that turned out to be second ones, and
-- of deliveries that came when nobody waited for them any more: those ids are in no other row.
select request_id as "request_id!" from trainings where avatar_id = $1 and request_id is not null
union
select request_id from generations where avatar_id = $1 and request_id is not null
union
select a.request_id
  from training_attempts a
  left join trainings t on t.id = a.training_id
  left join generations g on g.id = a.generation_id
 where $1 in (t.avatar_id, g.avatar_id) and a.request_id is not null
union
select d.request_id
  from fal_deliveries d
  left join training_attempts a on a.token = d.token
  left join trainings t on t.id in (a.training_id, d.training_id)
  left join generations g on g.id in (a.generation_id, d.generation_id)
 where $1 in (t.avatar_id, g.avatar_id) and d.request_id is not null
