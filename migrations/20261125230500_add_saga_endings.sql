-- How a training ends before FAL is done with it: by the user's or an operator's wish, or by a deadline; and the
-- account lock that parks every submission.
--
-- A wish is a column and no status: FAL has to be told first, and what it answers decides (jobs/src/domain/saga.rs).
-- `late_model` follows a request that FAL may finish after we ended its training, because it was paid for.
-- Safe with the previous binary: it neither reads nor writes the new columns, and a training it moves keeps its old
-- `status_since`, which makes a deadline early by the time of one step; the new enum values are written only by the
-- new binary, and `abandoned` only with fal.resubmit_unknown, which is off.
-- Locks: ACCESS EXCLUSIVE on trainings for the time of a catalogue change; no rewrite (constant defaults).

create type training_end_reason as enum ('user', 'operator', 'deadline');
create type training_late_model as enum (
    'watched',  -- ended here, perhaps not at FAL: poll_status goes on looking
    'kept',     -- FAL's output came and is stored; store_model copies it
    'settled'   -- copied, or turned out to be none
);
alter type training_source add value 'operator';
-- Its outcome is unknown and another was posted all the same (fal.md 6.3's decision rule).
alter type attempt_outcome add value 'abandoned';

alter table trainings
    add column status_since      timestamptz not null default now(),
    add column end_asked         training_end_reason,
    add column end_asked_at      timestamptz,
    add column end_asked_by      text,
    add column late_model        training_late_model,
    add column late_model_key    text,
    add column late_completed_at timestamptz,
    add constraint trainings_end_asked_at check ((end_asked is null) = (end_asked_at is null)),
    add constraint trainings_late_is_ended check (late_model is null or status in ('failed', 'cancelled')),
    add constraint trainings_late_has_result check (late_model is distinct from 'kept' or result is not null);
comment on column trainings.status_since   is 'When the status last changed; deadlines count from it.';
comment on column trainings.end_asked      is 'Who wants it to end while FAL has or may have it. NULL: nobody, or it ended at once.';
comment on column trainings.end_asked_at   is 'When that was; FAL is given saga.cancel_deadline from here.';
comment on column trainings.end_asked_by   is 'The operator''s reason, as given to `aisha avatars cancel`. NULL for users and deadlines.';
comment on column trainings.late_model     is 'What is expected of a request that FAL may still finish. NULL: nothing.';
comment on column trainings.late_model_key is 'Our copy of a LoRA that came late. NULL for finetunes, and while there is none.';
comment on column trainings.late_completed_at is 'When the avatar took the model that came late. NULL if it had gone on without, or nothing came.';
create index trainings_late on trainings (id) where late_model in ('watched', 'kept');

create table fal_account (
    only_row  boolean     primary key default true check (only_row),
    parked_at timestamptz not null,
    reason    text        not null,
    probe_at  timestamptz not null,
    probes    integer     not null default 0
);
comment on table  fal_account           is 'One row while FAL refuses our key or account (401, 402, 403): no worker submits then. No row: all is well.';
comment on column fal_account.parked_at is 'First refusal.';
comment on column fal_account.reason    is 'What FAL said last. For operators.';
comment on column fal_account.probe_at  is 'From then on one submit may try; whoever takes it moves this on first.';
comment on column fal_account.probes    is 'How many have tried.';
