-- A user asks for a copy of their data (/mydata), at most once a day. The row says how much of it has been sent, so that a part
-- that arrived is not sent again after a crash.
-- Safe with the previous binary: it does not know the table. Locks: none (a new table).

create table exports (
    id          uuid        primary key default gen_random_uuid(),
    user_id     uuid        not null references users (id) on delete cascade,
    asked_at    timestamptz not null default now(),
    parts_sent  integer     not null default 0,
    finished_at timestamptz
);
comment on column exports.parts_sent  is 'How many files of it Telegram has accepted.';
comment on column exports.finished_at is 'When the last one was accepted. NULL before.';
create index exports_of_user on exports (user_id, asked_at);
