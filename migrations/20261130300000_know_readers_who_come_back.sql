-- A final message that was never delivered is told when its reader is back, whatever kept it from them; a user's
-- language is the one of their first contact; an avatar's name can be corrected by editing the message that gave it.
-- Safe with the previous binary: it writes and reads none of the new columns (until it is replaced it goes on to take
-- the language of each update, and its undelivered finals are found by the new one).
-- Locks: users, avatars, notifications, exclusively and for a moment (columns with constant defaults rewrite nothing).

alter table users add column language_is_told boolean not null default true;
comment on column users.language_is_told is 'Telegram has said the language. False: English stands in until it does.';

comment on column users.language is 'Locale of the texts we send: ru or en. The first that Telegram tells of the user; it stays.';

alter table avatars add column name_message_id bigint;
comment on column avatars.name_message_id is 'Telegram''s number, in the owner''s chat, of the message that gave the name. NULL: imported, or named before this column.';

alter table notifications add column reopened_at timestamptz;
comment on column notifications.reopened_at is 'A final that was refused or given up is brought once more when its reader writes: this is when. NULL: not yet, or never needed.';
