-- $3: a draft, or an album that was asked for.
select b.id as "id: AlbumId", b.avatar_id as "avatar_id: AvatarId", coalesce(a.name, '') as "avatar_name!",
       a.training_type as "training_type: TrainingType", a.gender as "gender: Gender", a.trigger_phrase,
       b.style, b.words, b.aspect, b.wanted,
       -- The training that made its model: an avatar that is trained again has another trigger phrase.
       (select t.trainer from trainings t
         where t.avatar_id = a.id and t.trigger_phrase = a.trigger_phrase
           and (t.status = 'completed' or t.late_completed_at is not null)
         order by t.created_at desc limit 1) as trainer
  from albums b
  join avatars a on a.id = b.avatar_id
 where b.user_id = $1 and b.id = $2 and (b.status = 'draft') = $3 and a.status = 'completed' and a.deleted_at is null
   for update of b
