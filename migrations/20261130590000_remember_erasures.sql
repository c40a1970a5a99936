-- A user has everything about them deleted (/delete_me). What must outlive their rows for the receipt, and nothing else, is in a
-- row of its own, which goes with the receipt. Until the erasure is done, nothing new is accepted from them.
-- The trainings that were submitted for all users together are still counted for a day, without saying whose they were.
-- Safe with the previous binary: it goes on accepting from such a user, whose rows go all the same; it inserts only uses with
-- a user. Locks: users and quota_uses, exclusively and for a moment (no rewrite).

create table erasures (
    id          uuid        primary key default gen_random_uuid(),
    user_id     uuid        references users (id) on delete set null,
    telegram_id bigint      not null,
    language    text        not null,
    asked_at    timestamptz not null default now(),
    erased_at   timestamptz
);
comment on column erasures.user_id     is 'NULL once the user is erased.';
comment on column erasures.telegram_id is 'Where the receipt goes.';
comment on column erasures.language    is 'Language of the receipt.';
comment on column erasures.erased_at   is 'When nothing was left but this row. NULL before.';
create unique index erasures_of_user on erasures (user_id) where user_id is not null;

alter table users add column leaving_at timestamptz;
comment on column users.leaving_at is 'When the user asked for everything about them to be deleted. NULL: they did not.';

alter table quota_uses alter column user_id drop not null;
comment on column quota_uses.user_id is 'NULL: a submit for a user who had everything deleted; it counts for the account only.';
