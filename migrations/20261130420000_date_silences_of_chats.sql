-- A chat's silence keeps the moment that it was asked for at, as the queue's do (*_date_what_a_clock_decides.sql): one that
-- was asked for by a database clock which ran ahead is not believed.
-- Safe with the previous binary: it leaves the column alone, and what it writes is believed for a week.
-- Locks: users, for an instant (no rewrite).

alter table users add column quiet_asked_at timestamptz;
comment on column users.quiet_asked_at is 'When Telegram last asked for silence in this chat. NULL: never, or noted by a version that kept no moment.';
