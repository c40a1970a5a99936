-- A user deletes an avatar: it disappears from all views at once, and a job (delete_avatar) waits for its training to end, then
-- erases what FAL, the bucket and these tables have of it. Until then the row stays, since FAL's requests are found by it.
-- Safe with the previous binary: until it is replaced it still shows such an avatar, and its buttons do what they did.
-- Locks: avatars, exclusively, for as long as its rows are read once to check the two constraints.

alter table avatars add column deleted_at timestamptz;
comment on column avatars.deleted_at is
    'When its user deleted it; nobody is shown it any more, and delete_avatar erases it. NULL: it is the user''s.';

-- A draft that is deleted makes room for the next one: it is cancelled, with its questions still open.
alter table avatars drop constraint avatars_draft_or_complete, drop constraint avatars_trained_has_start,
    add constraint avatars_draft_or_complete check (status = 'draft' or deleted_at is not null
        or (name is not null and gender is not null)),
    add constraint avatars_trained_has_start check (status = 'draft' or deleted_at is not null
        or training_started_at is not null),
    add constraint avatars_deleted_is_not_main check (not is_main or deleted_at is null);
create index avatars_deleted on avatars (deleted_at) where deleted_at is not null;
