-- Everything that the user with this Telegram id has.
with owner as (
    select id, telegram_id from users where telegram_id = $1
)
select concat_ws(E'\n',
    (select string_agg(users::text, '' order by users.id) from users join owner using (id)),
    (select string_agg(avatars::text, '' order by avatars.id) from avatars join owner on owner.id = user_id),
    (select string_agg(avatar_photos::text, '' order by avatar_photos.id)
       from avatar_photos join avatars on avatars.id = avatar_id join owner on owner.id = user_id),
    (select string_agg(trainings::text, '' order by trainings.id) from trainings join owner on owner.id = user_id),
    (select string_agg(albums::text, '' order by albums.id) from albums join owner on owner.id = user_id),
    (select string_agg(generations::text, '' order by generations.id) from generations join owner on owner.id = user_id),
    (select string_agg(pictures::text, '' order by pictures.id) from pictures join owner on owner.id = user_id),
    (select string_agg(broadcasts::text, '' order by broadcasts.id) from broadcasts join owner on owner.telegram_id = by),
    (select string_agg(quota_uses::text, '') from quota_uses join owner on owner.id = user_id),
    (select count(*)::text from notifications join owner on owner.id = user_id))
