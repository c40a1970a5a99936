-- Whether the final message $1 gives way to an edit of the chat: in how many seconds it looks again. No row: it goes out.
--
-- It gives way to the last word of its training's or album's progress message, and to edits before it that nobody has seen yet. Ten
-- seconds are enough for an edit that works; a silence that Telegram asks for does not count, within a minute. Looks come
-- at growing distances, since each costs the chat one of its starts a second.
with held as (
    update notifications n
       set held_since = least(coalesce(n.held_since, now()), now())
      from users u
     where n.id = $1 and u.id = n.user_id
       and exists (select from notifications edit
                    where edit.user_id = n.user_id and edit.seq < n.seq and edit.closed_at is null
                      and edit.delivered_revision < edit.revision
                      and case when edit.delivered_revision = 0 then edit.message_id is not null
                               else edit.kind = 'progress'
                                and (edit.training_id = n.training_id or edit.album_id = n.album_id) end)
    returning n.held_since, u.quiet_until
), bound as (
    select now() - held_since as waited,
           least(greatest(held_since, quiet_until) + interval '10 s', held_since + interval '60 s') - now() as remaining
      from held
)
select extract(epoch from least(greatest(waited, interval '1 s'), remaining))::float8 as "seconds!"
  from bound
 where remaining > interval '0'
