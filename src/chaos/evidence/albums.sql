-- Each album that was asked for, also of users who are gone. `live`: its requests that have not ended. `pictures`: how many
-- were stored for it. The last two: how often its pictures, and the message below them, were perhaps sent twice.
with requests as (
    select album_id, count(*) filter (where status not in ('completed', 'failed', 'cancelled')) as live
      from chaos.all_generations group by 1
), stored as (
    select album_id, count(*) as pictures from chaos.all_pictures group by 1
), sends as (
    select album_id,
           sum(possible_duplicates) filter (where dedupe_key like 'pictures:%') as pictures_twice,
           sum(possible_duplicates) filter (where dedupe_key like 'album:%') as end_twice
      from chaos.all_notifications where kind = 'final' and album_id is not null group by 1
)
select a.id, u.telegram_id as chat_id, a.origin::text as origin, a.status::text as status,
       v.deleted_at is not null as is_deleted,
       coalesce(r.live, 0) as live, coalesce(p.pictures, 0) as pictures,
       coalesce(s.pictures_twice, 0)::bigint as pictures_twice, coalesce(s.end_twice, 0)::bigint as end_twice
  from chaos.all_albums a
  join chaos.all_users u on u.id = a.user_id
  join chaos.all_avatars v on v.id = a.avatar_id
  left join requests r on r.album_id = a.id
  left join stored p on p.album_id = a.id
  left join sends s on s.album_id = a.id
 where a.status <> 'draft'
