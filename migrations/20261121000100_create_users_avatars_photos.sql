-- Who uses the bot, the avatars they make, and the photos an avatar is trained on.
--
-- The draft avatar row is the wizard's whole state (no dialogue storage): what is NULL is what the wizard asks
-- for next, so a restart, a deploy or a second bot process continues where the user stopped.
-- Ids are uuid because the incumbent's keys are imported unchanged (decisions.md K19).
-- Safe with the previous binary: there is none. Locks: none (new tables).

create type training_type as enum ('portrait', 'style');
-- The wizard stores only `character`; `custom` and `style` are kept for imported rows.
create type avatar_type as enum ('character', 'custom', 'style');
create type gender as enum ('male', 'female');
-- draft → training → completed | failed | cancelled; failed and cancelled may be tried again (→ draft).
create type avatar_status as enum ('draft', 'training', 'completed', 'failed', 'cancelled');
-- pending: accepted from the user, bytes not yet in our bucket. rejected: has a reason code the user was told.
create type photo_status as enum ('pending', 'stored', 'rejected');

create table users (
    id             uuid        primary key default gen_random_uuid(),
    telegram_id    bigint      not null unique,
    username       text,
    first_name     text,
    language       text        not null,
    unreachable_at timestamptz,
    quiet_until    timestamptz,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);
comment on column users.telegram_id    is 'Telegram''s user id, which is also the private chat''s id. Set at the first /start.';
comment on column users.username       is 'Telegram username without @. NULL when the user has none; then user_<telegram_id> stands in (M11).';
comment on column users.language       is 'Locale of the texts we send: ru or en. Follows the language_code of the user''s updates.';
comment on column users.quiet_until    is 'Telegram asked for silence in this chat (429); nothing is sent to it before. NULL until that happened.';
comment on column users.unreachable_at is 'Set by notify_user on 403 (bot blocked, account gone); NULL again at the next update from the user.';

create table avatars (
    id              uuid          primary key default gen_random_uuid(),
    user_id         uuid          not null references users (id) on delete cascade,
    name            text          check (char_length(name) between 1 and 64),
    gender          gender,
    avatar_type     avatar_type   not null,
    training_type   training_type not null,
    status          avatar_status not null,
    is_main         boolean       not null default false,
    trigger_phrase  text,
    model_key       text,
    model_sha256    text,
    model_bytes     bigint,
    lora_url        text,
    finetune_id     text,
    created_at      timestamptz   not null default now(),
    updated_at      timestamptz   not null default now(),
    training_started_at timestamptz,
    completed_at    timestamptz,
    -- Only a draft may lack what the wizard asks for.
    constraint avatars_draft_or_complete check (status = 'draft' or (name is not null and gender is not null)),
    constraint avatars_trained_has_start check ((status = 'draft') or training_started_at is not null),
    constraint avatars_completed_at check ((status = 'completed') = (completed_at is not null)),
    -- Completed means usable: a LoRA that lies in our own bucket, or a finetune id.
    constraint avatars_completed_has_model check (status <> 'completed' or finetune_id is not null
        or (model_key is not null and model_sha256 is not null)),
    constraint avatars_main_is_completed check (not is_main or status = 'completed')
);
comment on column avatars.training_type  is 'Chosen in the wizard''s first step. No default anywhere: a missing type is an error, never portrait (M1).';
comment on column avatars.trigger_phrase is 'TOK_<8 hex of the id> for portrait, a generated word for style. Set when training starts, read by generation.';
comment on column avatars.model_key      is 'Object key of our copy of the LoRA in the avatars bucket. NULL until store_model verified it, and for finetunes.';
comment on column avatars.lora_url       is 'FAL''s URL of the LoRA: a cache that may expire; model_key is the truth.';
comment on column avatars.is_main        is 'The avatar that generation uses by default. At most one a user (avatars_one_main).';
create unique index avatars_one_main on avatars (user_id) where is_main;
-- One draft a user: the wizard continues it instead of starting a second.
create unique index avatars_one_draft on avatars (user_id) where status = 'draft';
create index avatars_by_user on avatars (user_id, created_at);

create table avatar_photos (
    id             uuid         primary key default gen_random_uuid(),
    avatar_id      uuid         not null references avatars (id) on delete cascade,
    position       bigint       generated always as identity,
    file_id        text         not null,
    file_unique_id text         not null,
    status         photo_status not null,
    reason         text,
    storage_key    text,
    content_type   text,
    bytes          bigint,
    created_at     timestamptz  not null default now(),
    settled_at     timestamptz,
    constraint avatar_photos_once unique (avatar_id, file_unique_id),
    constraint avatar_photos_pending_is_open check ((status = 'pending') = (settled_at is null)),
    constraint avatar_photos_stored_has_key check ((status = 'stored') = (storage_key is not null)),
    constraint avatar_photos_rejected_has_reason check ((status = 'rejected') = (reason is not null))
);
comment on column avatar_photos.position       is 'Order of arrival; the archive''s order.';
comment on column avatar_photos.file_id        is 'Telegram''s handle for getFile. Usable again and again by our bot only.';
comment on column avatar_photos.file_unique_id is 'Telegram''s stable id: the same photo sent twice is one row.';
comment on column avatar_photos.storage_key    is '{user_id}/{avatar_id}/{photo id}.jpg in the avatars bucket: the original bytes. NULL until stored.';
comment on column avatar_photos.reason         is 'Stable code of why it was refused (jobs::archive::PhotoProblem::code); a text per locale exists for each.';
