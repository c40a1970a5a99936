-- $1: seconds since the last training of the avatar ended; $2: how many photos at most.
with due as (
    select p.id
      from avatar_photos p
      join avatars a on a.id = p.avatar_id
     where a.status in ('completed', 'failed', 'cancelled') and a.deleted_at is null
       and exists (select from trainings t where t.avatar_id = a.id)
       and not exists (select from trainings t
                        where t.avatar_id = a.id
                          and (t.finished_at is null or t.finished_at >= now() - make_interval(secs => $1)
                               or t.late_model in ('watched', 'kept')))
     limit $2
)
delete from avatar_photos p
 using due
 where p.id = due.id
returning p.storage_key
