-- Where the photo card $1 stands in its chat, and whether a burst of photos is still going on. No row: it has no message.
select coalesce(u.newest_message_id > n.message_id, false) as "is_above_others!",
       -- Less than 0: the database's clock was set back, and the moment says nothing.
       extract(epoch from now() - u.newest_message_at)::float8 as quiet_seconds,
       exists (select from avatar_photos photo
                where photo.avatar_id = n.avatar_id and photo.status = 'pending') as "is_loading!",
       exists (select from notifications reply
                where reply.user_id = n.user_id and reply.kind = 'reply' and reply.closed_at is null
                  and reply.delivered_revision = 0 and reply.message_id is null
                  and reply.created_at > now() - interval '30 s') as "is_reply_on_its_way!"
  from notifications n
  join users u on u.id = n.user_id
 where n.id = $1 and n.kind = 'photos' and n.closed_at is null and n.message_id is not null
