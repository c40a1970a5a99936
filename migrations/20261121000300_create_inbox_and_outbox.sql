-- What arrives from outside is stored before it is acknowledged (inbox); what must reach a user is stored in
-- the transaction that makes it true (outbox).
-- Safe with the previous binary: there is none. Locks: none (new tables).

create table fal_deliveries (
    id            bigint      generated always as identity primary key,
    request_id    text        not null,
    body_sha256   text        not null,
    body          bytea       not null,
    training_type text,
    token         text,
    fal_user_id   text        not null,
    signed_at     timestamptz not null,
    received_at   timestamptz not null default now(),
    flags         text[]      not null default '{}',
    applied_at    timestamptz,
    disposition   text,
    training_id   uuid        references trainings (id) on delete set null,
    -- Not request_id alone: an ERROR after an OK must be recorded too (K15).
    constraint fal_deliveries_once unique (request_id, body_sha256),
    constraint fal_deliveries_applied_has_disposition check ((applied_at is null) = (disposition is null))
);
comment on column fal_deliveries.body          is 'Raw bytes: the signature covers them, and a replay needs them unchanged.';
comment on column fal_deliveries.training_type is 'The URL''s parameter as sent; may be missing or wrong, then flagged. The training row''s type counts.';
comment on column fal_deliveries.token         is 'The URL''s correlation token; finds an attempt whose request id we never saw.';
comment on column fal_deliveries.applied_at    is 'Set by apply_fal_delivery in the transaction of its effect; NULL = still to do.';
comment on column fal_deliveries.disposition   is 'What became of it: applied, duplicate, late, unknown_request, …';
create index fal_deliveries_open on fal_deliveries (received_at) where applied_at is null;

create table notifications (
    id          uuid        primary key default gen_random_uuid(),
    user_id     uuid        not null references users (id) on delete cascade,
    avatar_id   uuid        references avatars (id) on delete cascade,
    training_id uuid        references trainings (id) on delete cascade,
    seq         bigint      generated always as identity,
    kind        text        not null check (kind in ('reply', 'photos', 'progress', 'final')),
    dedupe_key  text        not null unique,
    message     jsonb       not null,
    is_last     boolean     not null,
    revision    integer     not null default 1 check (revision > 0),
    delivered_revision integer not null default 0,
    message_id  bigint,
    sending_since timestamptz,
    possible_duplicates integer not null default 0,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    closed_at   timestamptz,
    outcome     text,
    constraint notifications_closed_has_outcome check ((closed_at is null) = (outcome is null)),
    constraint notifications_never_ahead check (delivered_revision <= revision)
);
create index notifications_open on notifications (user_id, seq) where closed_at is null;
create index notifications_about_avatar on notifications (avatar_id, kind);
create index notifications_about_training on notifications (training_id, kind);
comment on column notifications.seq        is 'Order within a chat: a message is first delivered after all earlier ones of its user.';
comment on column notifications.kind       is 'reply: answers an update. photos: the wizard''s photo counter. progress and final: of a training.';
comment on column notifications.dedupe_key is 'update:<id>, photos:<avatar>:<n>, progress:<training>, final:<training>: one Telegram message each, edited in place.';
comment on column notifications.message    is 'Phrases with their arguments, and buttons; rendered in the user''s locale at sending time.';
comment on column notifications.is_last    is 'Nothing will follow this revision: the row is closed once it is delivered.';
comment on column notifications.revision   is 'Raised with every change of message; notify_user sends until delivered_revision has caught up.';
comment on column notifications.message_id is 'Telegram''s id of our message. Edits go there, also after a restart. NULL until the first send was answered, unless the row takes the place of an older message of ours.';
comment on column notifications.sending_since is 'Committed before a first send, cleared by its answer: not NULL at the next attempt means that the answer was lost.';
comment on column notifications.outcome    is 'Why nothing more will be sent: delivered, superseded, unreachable, rejected, undeliverable. NULL while it may still change.';

create table telegram_updates (
    update_id   bigint      primary key,
    chat_id     bigint,
    body        jsonb       not null,
    received_at timestamptz not null default now(),
    attempts    smallint    not null default 0,
    retry_at    timestamptz,
    handled_at  timestamptz,
    error       text,
    constraint telegram_updates_error_is_final check (error is null or handled_at is not null)
);
comment on column telegram_updates.body       is 'The raw update: an unknown kind is kept, not lost.';
comment on column telegram_updates.chat_id    is 'Order of handling is kept per chat. NULL for updates without a chat.';
comment on column telegram_updates.attempts   is 'How often handling failed and was rolled back; after a few it is given up, so that its chat goes on.';
comment on column telegram_updates.retry_at   is 'Not handled before this moment. NULL unless handling failed.';
comment on column telegram_updates.handled_at is 'Set in the transaction of the update''s effect.';
comment on column telegram_updates.error      is 'Why it was given up as unreadable or failing for good. NULL when it had its effect.';
create index telegram_updates_open on telegram_updates (update_id) where handled_at is null;
create index telegram_updates_open_of_chat on telegram_updates (chat_id, update_id) where handled_at is null;
