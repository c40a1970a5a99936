select g.id as "id: GenerationId", g.album_id as "album_id: AlbumId", g.avatar_id as "avatar_id: AvatarId",
       g.user_id as "user_id: UserId", g.trainer, g.prompt, g.negative, g.aspect, g.wanted, g.seed,
       g.status as "status: GenerationStatus", g.request_id, g.status_url, g.response_url, g.cancel_url, g.fal_status, g.result,
       g.failure_code, g.status_since, g.started_at, g.end_asked as "end_asked: EndReason", g.end_asked_at,
       (select a.created_at from training_attempts a where a.generation_id = g.id and a.outcome is null) as attempted_at
  from generations g
 where g.id = $1
