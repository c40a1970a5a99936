-- The photo card comes below the photos that it counts. For this the newest message of each chat is noted, with the message
-- and the album of each photo, and which older messages of ours the card replaces.
-- Safe with the previous binary: it neither reads nor writes the new columns. A chat that it serves has no newer newest
-- message, so that its card is edited where it stands, as before.
-- Locks: users, avatar_photos, notifications, exclusively and for a moment (columns with constant defaults rewrite nothing).

alter table users add column newest_message_id bigint;
alter table users add column newest_message_at timestamptz;
comment on column users.newest_message_id is 'Telegram''s highest id of a message in the private chat that we know of: the user''s or ours. NULL: none since this column exists.';
comment on column users.newest_message_at is 'When newest_message_id was noted. The photo card comes down when this was some seconds ago.';

alter table avatar_photos add column message_id bigint;
alter table avatar_photos add column album text;
comment on column avatar_photos.message_id is 'Telegram''s id of the message that brought the photo; a refusal answers it. NULL: unknown, or older than this column.';
comment on column avatar_photos.album is 'Shared by the photos of one album of Telegram''s, which get one answer together. NULL: the photo came alone.';

alter table notifications add column reply_to bigint;
alter table notifications add column retires bigint[] not null default '{}';
comment on column notifications.reply_to is 'Telegram''s id of the user''s message that this one answers, and shows above itself. NULL: of none in particular.';
comment on column notifications.retires is 'Telegram''s ids of older messages of ours that this one makes out of date: notify_user deletes them once this one is there or closed.';
