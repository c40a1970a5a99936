-- The saga: one row a paid training, one row an attempt to submit it.
--
-- A status names the step that is finished. Every transition is a compare-and-set on it; the first terminal
-- fact wins. `training_attempts` is written and committed *before* FAL hears of the submit, so that a lost
-- answer can be adopted later by its token, and never leads to a second paid request (fal.md 6.3, K12).
-- Safe with the previous binary: there is none. Locks: none (new tables).

create type training_status as enum (
    'requested',   -- the user asked; photos are being stored, the archive is being built
    'archived',    -- the archive lies where FAL can fetch it
    'submitting',  -- an attempt is committed; FAL may or may not have it
    'submitted',   -- FAL has it and we know its request id
    'trained',     -- FAL says OK and the result is stored here; the model is being copied and verified
    'completed', 'failed', 'cancelled'
);
-- How the terminal fact reached us.
create type training_source as enum ('webhook', 'poll', 'job', 'user');
-- not_sent: surely never reached FAL (DNS, refused, TLS). refused: FAL answered that it did not take it.
-- accepted: FAL has it, request_id is known. NULL in the table: unknown, which is AMBIGUOUS (K12).
create type attempt_outcome as enum ('not_sent', 'refused', 'accepted');
create type attempt_evidence as enum ('answer', 'webhook', 'request_list');

create table trainings (
    id                uuid            primary key default gen_random_uuid(),
    avatar_id         uuid            not null references avatars (id) on delete cascade,
    user_id           uuid            not null references users (id) on delete cascade,
    training_type     training_type   not null,
    trainer           text            not null,
    preset            text            not null,
    trigger_phrase    text            not null,
    status            training_status not null,
    archive_url       text,
    archive_sha256    text,
    archive_bytes     bigint,
    archive_photos    integer,
    archive_expires_at timestamptz,
    request_id        text            unique,
    status_url        text,
    response_url      text,
    cancel_url        text,
    fal_status        text,
    queue_position    integer,
    progress          smallint        not null default 0 check (progress between 0 and 100),
    progress_message  text,
    polled_at         timestamptz,
    result            jsonb,
    result_source     training_source,
    failure_code      text,
    failure_detail    text,
    created_at        timestamptz     not null default now(),
    archived_at       timestamptz,
    submitted_at      timestamptz,
    started_at        timestamptz,
    trained_at        timestamptz,
    finished_at       timestamptz,
    constraint trainings_archived_has_archive check (status not in ('archived', 'submitting', 'submitted', 'trained', 'completed')
        or (archived_at is not null and archive_url is not null and archive_sha256 is not null)),
    constraint trainings_submitted_has_request check (status not in ('submitted', 'trained', 'completed')
        or (submitted_at is not null and request_id is not null)),
    constraint trainings_trained_has_result check (status not in ('trained', 'completed')
        or (trained_at is not null and result is not null and result_source is not null)),
    constraint trainings_final_is_finished check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint trainings_failed_has_code check ((status = 'failed') = (failure_code is not null))
);
comment on column trainings.training_type  is 'Copied from the avatar when the user starts; every later step reads it here (M1).';
comment on column trainings.trainer        is 'Name of the entry in config/trainers.toml, so that a change of the default leaves running ones alone.';
comment on column trainings.request_id     is 'FAL''s queue id (never the gateway id). NULL until an attempt is accepted or adopted.';
comment on column trainings.status_url     is 'As FAL returned it; its host is checked before the key is sent there.';
comment on column trainings.fal_status     is 'Last word of FAL''s status GET (IN_QUEUE, IN_PROGRESS, COMPLETED). Written by poll_status.';
comment on column trainings.progress       is '0-100, from FAL''s logs; never goes down.';
comment on column trainings.result         is 'The model''s own output JSON of the first terminal success.';
comment on column trainings.result_source  is 'Which of the racing messengers brought the terminal fact first.';
comment on column trainings.failure_code   is 'Stable code (jobs::domain::FailureCode); a text per locale exists for each.';
comment on column trainings.failure_detail is 'For operators: what FAL or the pipeline said. Never shown to the user.';
-- A double tap, or two bot processes, start one training.
create unique index trainings_one_live on trainings (avatar_id) where status not in ('completed', 'failed', 'cancelled');
create index trainings_live_by_status on trainings (status, created_at) where status not in ('completed', 'failed', 'cancelled');

create table training_attempts (
    id            uuid        primary key default gen_random_uuid(),
    training_id   uuid        not null references trainings (id) on delete cascade,
    number        integer     not null check (number > 0),
    token         text        not null unique check (token ~ '^[0-9a-f]{32}$'),
    endpoint      text        not null,
    input         jsonb       not null,
    input_sha256  text        not null,
    webhook_url   text,
    outcome       attempt_outcome,
    evidence      attempt_evidence,
    request_id    text        unique,
    error         text,
    created_at    timestamptz not null default now(),
    settled_at    timestamptz,
    constraint training_attempts_numbered unique (training_id, number),
    constraint training_attempts_settled check ((outcome is null) = (settled_at is null)),
    constraint training_attempts_accepted_is_known check ((outcome is not distinct from 'accepted') = (request_id is not null)),
    constraint training_attempts_accepted_has_evidence check ((outcome is not distinct from 'accepted') = (evidence is not null))
);
comment on column training_attempts.token    is '128 random bits in the webhook URL and the comment: what a lost request is found again by (K15, K16).';
comment on column training_attempts.input    is 'The body that was or would have been posted. No secrets in it.';
comment on column training_attempts.outcome  is 'NULL until known; NULL after a POST began is AMBIGUOUS and is never posted again blindly.';
comment on column training_attempts.evidence is 'What told us that FAL accepted it. NULL unless accepted.';
-- The guard against paying twice: at most one attempt that FAL has or may have.
create unique index training_attempts_one_open on training_attempts (training_id)
    where outcome is null or outcome = 'accepted';
