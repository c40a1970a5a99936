-- Pictures: what users ask for (albums), what FAL is asked for (generations), and what came (pictures).
--
-- An album is one request of a user, delivered as one message. Its draft is the dialogue's whole state, as an avatar's draft
-- is the wizard's. Each of its generations is one paid request at FAL, with the same guards as a training: an attempt row
-- before the POST (training_attempts, which serves both from now on), one request id, a deadline for each status.
-- The first pictures of a new avatar are an album of several generations, one a style.
-- Safe with the previous binary: it reads none of these tables. It meets an attempt of pictures only by the token of a
-- delivery, which is enqueued as version 2 of apply_fal_delivery, so that it is left for a newer worker.
-- Locks: ACCESS EXCLUSIVE on training_attempts, fal_deliveries, notifications, quota_uses and avatars for the time of a
-- catalogue change; the checks that are replaced are validated by a scan of quota_uses, notifications and training_attempts.

-- draft: the user is choosing. making: its generations are live. The others are final.
create type album_status as enum ('draft', 'making', 'ready', 'failed', 'cancelled');
-- user: asked for in the chat. samples: the first pictures of a new avatar.
create type album_origin as enum ('user', 'samples');
create type generation_status as enum (
    'requested',   -- waits to be submitted
    'submitting',  -- an attempt is committed; FAL may or may not have it
    'submitted',   -- FAL has it and we know its request id
    'generated',   -- FAL says OK and the result is stored here; the pictures are being copied and checked
    'completed', 'failed', 'cancelled'
);

create table albums (
    id          uuid         primary key default gen_random_uuid(),
    user_id     uuid         not null references users (id) on delete cascade,
    avatar_id   uuid         not null references avatars (id) on delete cascade,
    training_id uuid         references trainings (id) on delete set null,
    origin      album_origin not null,
    status      album_status not null,
    style       text,
    words       text         check (char_length(words) <= 4000),
    aspect      text,
    wanted      smallint     not null default 4 check (wanted between 1 and 4),
    created_at  timestamptz  not null default now(),
    asked_at    timestamptz,
    settled_at  timestamptz,
    constraint albums_draft_or_asked check ((status = 'draft') = (asked_at is null)),
    constraint albums_asked_is_complete check (status = 'draft' or origin = 'samples' or (style is not null and aspect is not null)),
    constraint albums_final_is_settled check ((status in ('ready', 'failed', 'cancelled')) = (settled_at is not null))
);
comment on column albums.training_id is 'Of samples: the training whose final message they come with. NULL for what a user asked for.';
comment on column albums.style      is 'Name in config/styles.toml. NULL until chosen; of samples NULL: each generation has its own.';
comment on column albums.words      is 'The user''s own words, cleaned. NULL until asked for; empty: none are wanted.';
comment on column albums.aspect     is 'Word of jobs::domain::Aspect. NULL until chosen.';
comment on column albums.wanted     is 'How many pictures are asked for.';
comment on column albums.asked_at   is 'When the user pressed "make", or the training ended. NULL: a draft.';
comment on column albums.settled_at is 'When the last of its generations ended. NULL before.';
-- One draft a user: the dialogue continues it instead of starting a second.
create unique index albums_one_draft on albums (user_id) where status = 'draft';
create unique index albums_samples_once on albums (training_id) where origin = 'samples';
create index albums_by_user on albums (user_id, created_at desc) where status <> 'draft';
create index albums_by_avatar on albums (avatar_id);
create index albums_making on albums (id) where status = 'making';

create table generations (
    id             uuid              primary key default gen_random_uuid(),
    album_id       uuid              not null references albums (id) on delete cascade,
    avatar_id      uuid              not null references avatars (id) on delete cascade,
    user_id        uuid              not null references users (id) on delete cascade,
    number         smallint          not null check (number > 0),
    trainer        text              not null,
    style          text              not null,
    prompt         text              not null,
    negative       text,
    aspect         text              not null,
    wanted         smallint          not null check (wanted between 1 and 4),
    seed           bigint            not null check (seed >= 0),
    status         generation_status not null,
    status_since   timestamptz       not null default now(),
    request_id     text              unique,
    status_url     text,
    response_url   text,
    cancel_url     text,
    fal_status     text,
    queue_position integer,
    polled_at      timestamptz,
    odd_answers    smallint          not null default 0,
    result         jsonb,
    result_source  training_source,
    flagged        smallint          not null default 0,
    failure_code   text,
    failure_detail text,
    end_asked      training_end_reason,
    end_asked_at   timestamptz,
    end_asked_by   text,
    created_at     timestamptz       not null default now(),
    submitted_at   timestamptz,
    started_at     timestamptz,
    generated_at   timestamptz,
    finished_at    timestamptz,
    constraint generations_numbered unique (album_id, number),
    constraint generations_submitted_has_request check (status not in ('submitted', 'generated', 'completed')
        or (submitted_at is not null and request_id is not null)),
    constraint generations_generated_has_result check (status not in ('generated', 'completed')
        or (generated_at is not null and result is not null and result_source is not null)),
    constraint generations_final_is_finished check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint generations_failed_has_code check ((status = 'failed') = (failure_code is not null)),
    constraint generations_end_asked_at check ((end_asked is null) = (end_asked_at is null))
);
comment on column generations.trainer    is 'Entry of config/trainers.toml whose generator makes them: that of the avatar''s model.';
comment on column generations.prompt     is 'As FAL gets it, with the trigger word: fixed when it is asked for, so that a style may change or go afterwards.';
comment on column generations.seed       is 'Ours, drawn at random: the same in each attempt. With the prompt it finds a lost request in FAL''s list.';
comment on column generations.flagged    is 'How many pictures FAL''s safety checker flagged; they are not stored.';
comment on column generations.failure_code is 'Stable code (jobs::domain::FailureCode); a text per locale exists for each.';
create index generations_live on generations (id) where status not in ('completed', 'failed', 'cancelled');
create index generations_by_avatar on generations (avatar_id);

create table pictures (
    id            uuid        primary key default gen_random_uuid(),
    generation_id uuid        not null references generations (id) on delete cascade,
    album_id      uuid        not null references albums (id) on delete cascade,
    avatar_id     uuid        not null references avatars (id) on delete cascade,
    user_id       uuid        not null references users (id) on delete cascade,
    number        smallint    not null check (number > 0),
    storage_key   text        not null,
    content_type  text        not null,
    bytes         bigint      not null,
    width         integer     not null,
    height        integer     not null,
    sha256        text        not null,
    file_id       text,
    is_favourite  boolean     not null default false,
    created_at    timestamptz not null default now(),
    constraint pictures_numbered unique (generation_id, number)
);
comment on column pictures.number      is 'Its place in FAL''s result, counted from 1.';
comment on column pictures.storage_key is '{user_id}/{avatar_id}/{picture id}.jpg or .png in the avatars bucket. Checked: it decodes.';
comment on column pictures.file_id     is 'Telegram''s handle, by which it can be sent again without its bytes. NULL until sent.';
create index pictures_by_user on pictures (user_id, created_at desc);
create index pictures_by_avatar on pictures (avatar_id, created_at desc);
create index pictures_by_album on pictures (album_id);

alter table avatars add column cover_id uuid references pictures (id) on delete set null;
comment on column avatars.cover_id is 'The picture that the gallery shows. NULL: there is none.';

-- One attempt row before each POST, for whichever of the two it is.
alter table training_attempts
    alter column training_id drop not null,
    add column generation_id uuid references generations (id) on delete cascade,
    add constraint training_attempts_of_one check (num_nonnulls(training_id, generation_id) = 1),
    add constraint training_attempts_numbered_pictures unique (generation_id, number);
comment on column training_attempts.generation_id is 'Of pictures; then training_id is NULL. The table keeps its name for the binaries that know it by it.';
create unique index training_attempts_one_open_of_pictures on training_attempts (generation_id)
    where outcome is null or outcome = 'accepted';

alter table fal_deliveries add column generation_id uuid references generations (id) on delete set null;
comment on column fal_deliveries.generation_id is 'The pictures that it was for. NULL for a training, and until it is applied.';

alter table notifications add column album_id uuid references albums (id) on delete cascade;
create index notifications_about_album on notifications (album_id, kind) where album_id is not null;
comment on column notifications.album_id is 'The album that it is about: its progress, its pictures, or how it ended.';

alter table quota_uses
    add column album_id uuid,
    drop constraint quota_uses_known,
    add constraint quota_uses_known check (what in ('draft', 'photo', 'training', 'submit', 'picture'));
comment on column quota_uses.album_id is 'Of a picture: its album. Given back for pictures that never came. No foreign key: it outlives the album.';
create index quota_uses_of_album on quota_uses (album_id) where album_id is not null;
