-- Everything that came from the user $1 by Telegram: their private chat's updates, and any other that names them as its sender.
delete from telegram_updates u
 using users
 where users.id = $1
   and (u.chat_id = users.telegram_id
        or jsonb_path_exists(u.body, '$.*.from.id ? (@ == $id)', jsonb_build_object('id', users.telegram_id)))
