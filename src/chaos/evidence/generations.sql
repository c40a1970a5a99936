-- Each request for pictures, also of users who are gone, with the word that calls its avatar up.
select g.id, g.album_id, u.telegram_id as chat_id, g.status::text as status, g.failure_code, g.request_id, v.trigger_phrase
  from chaos.all_generations g
  join chaos.all_users u on u.id = g.user_id
  join chaos.all_avatars v on v.id = g.avatar_id
