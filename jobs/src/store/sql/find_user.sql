-- $1: a Telegram id, $2: a Telegram name, $3: the id of a user, an avatar, a training, an album or a picture.
select u.id as "id: UserId", u.telegram_id, coalesce(u.username, u.first_name, '') as "name!", u.language, u.created_at,
       l.is_allowed as "listed?"
  from users u
  left join access_list l on l.telegram_id = u.telegram_id
 where u.telegram_id = $1
    or lower(u.username) = lower($2)
    or u.id = $3
    or u.id in (select user_id from avatars where id = $3
                union all select user_id from trainings where id = $3
                union all select user_id from albums where id = $3
                union all select user_id from pictures where id = $3)
 order by u.telegram_id = $1 desc nulls last
 limit 1
