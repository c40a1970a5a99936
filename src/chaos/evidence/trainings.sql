-- Each training with its avatar, its endpoint, and how often its final message was perhaps sent twice.
select t.id, u.telegram_id as chat_id, t.status::text as status, t.failure_code, t.request_id,
       (select a.endpoint from training_attempts a where a.training_id = t.id limit 1) as endpoint,
       t.training_type::text as training_type, v.status::text as avatar_status,
       v.model_key, v.model_sha256, v.model_bytes, t.late_model::text as late_model, t.late_model_key,
       coalesce((select sum(n.possible_duplicates) from notifications n
                  where n.training_id = t.id and n.kind = 'final'), 0)::bigint as possible_duplicates
  from trainings t
  join users u on u.id = t.user_id
  join avatars v on v.id = t.avatar_id
