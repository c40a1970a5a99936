-- Administrators in the chat: whom they let in or keep out at run time, and what they write to everybody.
--
-- A broadcast walks through the users by id; each gets one outbox row, whose key names broadcast and user, so that a page that
-- is walked twice adds nothing.
-- Safe with the previous binary: it neither reads nor writes the tables and the column. Locks: notifications, exclusively and
-- for a moment (no rewrite); the index is made while writes to it wait, and is empty.

create table access_list (
    telegram_id bigint      primary key,
    is_allowed  boolean     not null,
    by          bigint      not null,
    at          timestamptz not null default now()
);
comment on table  access_list            is 'Whom an administrator let in or kept out. The lists of the configuration (quotas.allowed, quotas.blocked) win.';
comment on column access_list.by         is 'Telegram id of the administrator.';

create table broadcasts (
    id          uuid        primary key default gen_random_uuid(),
    by          bigint      not null,
    text        text        not null check (char_length(text) between 1 and 4000),
    created_at  timestamptz not null default now(),
    started_at  timestamptz,
    position    uuid,
    finished_at timestamptz,
    stopped_at  timestamptz
);
comment on column broadcasts.by          is 'Telegram id of the administrator.';
comment on column broadcasts.started_at  is 'When the administrator confirmed it. NULL: a preview.';
comment on column broadcasts.position    is 'The last user who has got an outbox row; users are walked through by id. NULL: none yet, or finished.';
comment on column broadcasts.finished_at is 'When every user had an outbox row.';
comment on column broadcasts.stopped_at  is 'When an administrator stopped it, or its job was given up. What is on its way arrives all the same.';

alter table notifications add column broadcast_id uuid references broadcasts (id) on delete set null;
comment on column notifications.broadcast_id is 'The broadcast that it belongs to. NULL: none.';
create index notifications_of_broadcast on notifications (broadcast_id) where broadcast_id is not null;
