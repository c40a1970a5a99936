-- The user's choice between speed and quality, for a draft and for all later ones; whether their messages come with a sound;
-- and how long a training was expected to take, so that its progress says how much is left.
-- Safe with the previous binary: it neither reads nor writes the new columns, and trains with the default preset.
-- Locks: users, avatars, trainings, exclusively and for a moment (columns with constant defaults rewrite nothing).

alter table avatars add column preset text check (preset in ('fast', 'balanced', 'quality'));
comment on column avatars.preset is 'The user''s choice between speed and quality: fast, balanced, quality. NULL: none; training.preset counts when the training starts.';

alter table users add column preset text check (preset in ('fast', 'balanced', 'quality'));
alter table users add column is_silent boolean not null default false;
comment on column users.preset is 'The preset with which the user''s drafts begin, from /settings. NULL: none was chosen.';
comment on column users.is_silent is 'The user wants messages without a sound, from /settings.';

alter table trainings add column expected_seconds integer check (expected_seconds > 0);
comment on column trainings.expected_seconds is 'How long it was expected to take when it was requested: as long as the last ones like it, or what the trainer''s entry says. NULL: older than this column.';
