-- Of the given objects ({user}/{avatar}/{name}.{extension}: $1 the keys, $2 their avatars, $3 their names without the
-- extension) those that a row names, or may come to name: by what is live, and not only by what is recorded, so that
-- an object is never taken from a job between its upload and its commit.
select key as "key!"
  from unnest($1::text[], $2::uuid[], $3::text[]) as object (key, avatar_id, name)
 where exists (select from avatars a where a.id = object.avatar_id and a.model_key = object.key)
    -- A photo: of an avatar that has it, also while it is on its way, or refused: a verdict may have been wrong.
    or exists (select from avatar_photos p
                where p.avatar_id = object.avatar_id and p.id::text = object.name)
    -- A model that was kept though it came too late for its avatar.
    or exists (select from trainings t where t.avatar_id = object.avatar_id and t.late_model_key = object.key)
    -- Anything else while a training of the avatar is not at rest: archives, a model that is being copied.
    or exists (select from trainings t
                where t.avatar_id = object.avatar_id
                  and (t.status not in ('completed', 'failed', 'cancelled') or t.late_model in ('watched', 'kept')))
    -- A picture, also one that store_pictures has just put there.
    or exists (select from pictures p where p.avatar_id = object.avatar_id and p.storage_key = object.key)
    or exists (select from generations g where g.avatar_id = object.avatar_id and g.status = 'generated')
