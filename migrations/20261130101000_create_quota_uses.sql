-- What users have used up: their drafts, photos and trainings, and the trainings that were submitted for all of them.
--
-- A table of its own, since the rows that it counts go away with a draft that is thrown away, and what they cost does not.
-- Pruned by `prune` once nothing counts it any more.
-- Safe with the previous binary: it neither reads nor writes it, and what it lets through is not counted.
-- Locks: none (a new table).

create table quota_uses (
    id         bigint      generated always as identity primary key,
    user_id    uuid        not null references users (id) on delete cascade,
    what       text        not null,
    attempt_id uuid        unique,
    at         timestamptz not null default now(),
    constraint quota_uses_known check (what in ('draft', 'photo', 'training', 'submit')),
    constraint quota_uses_submit_has_attempt check ((what = 'submit') = (attempt_id is not null))
);
comment on column quota_uses.what       is 'draft: begun. photo: sent, whatever became of it. training: started by its user. submit: an attempt that FAL has or may have.';
comment on column quota_uses.attempt_id is 'Of a submit: training_attempts.id. The use is given back when FAL surely did not take it. No foreign key: it outlives the attempt.';
comment on column quota_uses.at         is 'When; it counts for a day from then.';
create index quota_uses_by_user on quota_uses (user_id, what, at desc);
create index quota_uses_submits on quota_uses (at desc) where what = 'submit';
create index quota_uses_by_age on quota_uses (at);
