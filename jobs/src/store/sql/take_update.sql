-- Takes the first open update of a chat and locks it until the transaction ends. Chats take turns: those after $1 (the
-- chat that the caller had last) come first, then the others, then updates that belong to no chat.
--
-- No further lock is needed for the order within a chat: while somebody holds its first open update, that is skipped as
-- locked, and the later ones are not its first. The walk goes from chat to chat, one index probe each, and ends at the
-- first that can be taken; so it costs by the chats that are held or wait to be tried again, and not by how many updates
-- a chat has. (Asked for the oldest update with no open one before it, Postgres looked at each of 100,000 of one chat.)
with recursive later as (
    (select chat_id, update_id from telegram_updates
      where handled_at is null and chat_id > $1
      order by chat_id, update_id limit 1)
    union all
    select next.chat_id, next.update_id
      from later
     cross join lateral (select chat_id, update_id from telegram_updates
                          where handled_at is null and chat_id > later.chat_id
                          order by chat_id, update_id limit 1) next
), earlier as (
    (select chat_id, update_id from telegram_updates
      where handled_at is null and chat_id <= $1
      order by chat_id, update_id limit 1)
    union all
    select next.chat_id, next.update_id
      from earlier
     cross join lateral (select chat_id, update_id from telegram_updates
                          where handled_at is null and chat_id > earlier.chat_id and chat_id <= $1
                          order by chat_id, update_id limit 1) next
), first as (
    select update_id from later
    union all
    select update_id from earlier
    union all
    (select update_id from telegram_updates where handled_at is null and chat_id is null order by update_id)
)
select taken.update_id as "update_id!", taken.chat_id, taken.body as "body!"
  from first
 cross join lateral (select update_id, chat_id, body::text as body from telegram_updates
                      where update_id = first.update_id and handled_at is null
                        and (retry_at is null or retry_at <= now())
                        for update skip locked) taken
 limit 1
