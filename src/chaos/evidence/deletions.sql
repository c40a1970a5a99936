-- Each user who had everything deleted, and each avatar that its user deleted. `is_done`: its rows are gone. `waits_for_fal`:
-- FAL may still finish a training that was given up, so that the deletion is put off. `words`: what names it; of an avatar
-- not its own id, which a job that is done may have, nor its pictures, of which the chat's messages speak until the user
-- goes. `requests`: its requests at FAL, as far as we knew them.
with watched as (
    select distinct user_id, avatar_id from trainings where late_model = 'watched'
), requests as (
    select user_id, avatar_id, request_id from chaos.all_trainings where request_id is not null
    union
    select user_id, avatar_id, request_id from chaos.all_generations where request_id is not null
    union
    select coalesce(t.user_id, g.user_id), coalesce(t.avatar_id, g.avatar_id), a.request_id
      from chaos.all_training_attempts a
      left join chaos.all_trainings t on t.id = a.training_id
      left join chaos.all_generations g on g.id = a.generation_id
     where a.request_id is not null
), things as (
    select user_id, avatar_id, id::text as word from chaos.all_trainings
    union all
    select user_id, avatar_id, id::text from chaos.all_generations
    union all
    select v.user_id, v.id, p.id::text from chaos.all_avatar_photos p join chaos.all_avatars v on v.id = p.avatar_id
    union all
    select user_id, avatar_id, request_id from requests
), names as (
    select user_id, null::uuid as avatar_id, id::text as word from chaos.all_avatars
    union all
    select user_id, null, id::text from chaos.all_albums
    union all
    select user_id, null, id::text from chaos.all_pictures
    union all
    select id, null, id::text from chaos.all_users
    union all
    -- Who came back afterwards has a new row with the same number.
    select id, null, telegram_id::text from chaos.all_users u
     where not exists (select from users again where again.telegram_id = u.telegram_id)
    union all
    select user_id, avatar_id, word from things
)
select u.telegram_id as chat_id, true as is_of_user, u.id::text || '/' as folder, u.gone_at is not null as is_done,
       exists (select from watched w where w.user_id = u.id) as waits_for_fal,
       array(select word from names n where n.user_id = u.id) as words,
       array(select request_id from requests r where r.user_id = u.id) as requests
  from chaos.all_users u
 where u.leaving_at is not null
union all
select u.telegram_id, false, v.user_id::text || '/' || v.id::text || '/', v.gone_at is not null,
       exists (select from watched w where w.avatar_id = v.id),
       array(select word from things t where t.avatar_id = v.id),
       array(select request_id from requests r where r.avatar_id = v.id)
  from chaos.all_avatars v
  join chaos.all_users u on u.id = v.user_id
 where v.deleted_at is not null
