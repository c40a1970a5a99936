select trainings.status::text, trainings.trainer, trainings.trigger_phrase, trainings.archive_sha256, trainings.archive_bytes,
       trainings.archive_photos, trainings.request_id, trainings.result_source::text, trainings.failure_code,
       trainings.failure_detail, trainings.created_at, trainings.archived_at, trainings.submitted_at, trainings.trained_at,
       trainings.finished_at, avatars.status::text as avatar_status, avatars.model_key, avatars.model_bytes,
       avatars.finetune_id, avatars.is_main
  from trainings
  join avatars on avatars.id = trainings.avatar_id
