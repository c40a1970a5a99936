select id as "id: TrainingId", avatar_id as "avatar_id: AvatarId", user_id as "user_id: UserId",
       training_type as "training_type: TrainingType", trainer, preset, trigger_phrase,
       status as "status: TrainingStatus", archive_url, request_id, status_url,
       response_url, cancel_url, fal_status, progress, result, failure_code, status_since, archived_at,
       archives_lost, started_at, archive_expires_at, held_by_account_at, end_asked as "end_asked: EndReason", end_asked_at,
       late_model as "late_model: LateModel",
       -- What its messages say of it; read here, so that a step needs no second look at its owner and avatar.
       (select coalesce(a.name, '') from avatars a where a.id = t.avatar_id) as "avatar_name!",
       coalesce(archive_photos,
                (select count(*) from avatar_photos p where p.avatar_id = t.avatar_id and p.status <> 'rejected')) as "photos!",
       (select a.created_at from training_attempts a where a.training_id = t.id and a.outcome is null) as attempted_at
  from trainings t
 where id = $1
