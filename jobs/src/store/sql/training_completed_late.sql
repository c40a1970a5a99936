-- The model of a training that had ended: its avatar takes it if it is still where that ending left it. An avatar that
-- is a draft again, in another training or completed by one has gone on.
update avatars
   set status = 'completed', completed_at = now(), updated_at = now(),
       model_key = $2, model_sha256 = $3, model_bytes = $4, lora_url = $5, finetune_id = $6,
       is_main = not exists (select from avatars main where main.user_id = avatars.user_id and main.is_main)
  from trainings training
 where training.id = $1 and training.late_model = 'kept' and avatars.id = training.avatar_id
   and avatars.status in ('failed', 'cancelled') and avatars.deleted_at is null
   -- The trigger phrase is the training's: an avatar that was trained again since has another.
   and avatars.trigger_phrase = training.trigger_phrase
   and not exists (select from trainings newer
                    where newer.avatar_id = training.avatar_id and newer.created_at > training.created_at)
