-- The compare-and-set that decides: only a trained one completes, once.
with training as (
    update trainings
       set status = 'completed', status_since = now(), finished_at = now()
     where id = $1 and status = 'trained'
    returning avatar_id, user_id
)
-- Its avatar becomes usable in the same statement.
update avatars
   set status = 'completed', completed_at = now(), updated_at = now(),
       model_key = $2, model_sha256 = $3, model_bytes = $4, lora_url = $5, finetune_id = $6,
       is_main = avatars.deleted_at is null and not exists (select from avatars main where main.user_id = training.user_id and main.is_main)
  from training
 where avatars.id = training.avatar_id
