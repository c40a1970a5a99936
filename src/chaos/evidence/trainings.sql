-- Each training, also of users who are gone, with its avatar, its endpoint, and how often its final message was perhaps sent
-- twice.
with endpoints as (
    select training_id, min(endpoint) as endpoint from chaos.all_training_attempts where training_id is not null group by 1
), finals as (
    select training_id, sum(possible_duplicates) as twice from chaos.all_notifications where kind = 'final' group by 1
)
select t.id, t.avatar_id, u.telegram_id as chat_id, t.status::text as status, t.failure_code, t.request_id, t.trigger_phrase,
       e.endpoint, t.training_type::text as training_type, v.status::text as avatar_status,
       v.deleted_at is not null as is_deleted,
       v.model_key, v.model_sha256, v.model_bytes, t.late_model::text as late_model, t.late_model_key,
       coalesce(f.twice, 0)::bigint as possible_duplicates
  from chaos.all_trainings t
  join chaos.all_users u on u.id = t.user_id
  join chaos.all_avatars v on v.id = t.avatar_id
  left join endpoints e on e.training_id = t.id
  left join finals f on f.training_id = t.id
