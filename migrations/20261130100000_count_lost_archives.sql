-- How often a training's archive was not there when it was to be submitted, so that an account whose storage hides our files
-- ends the training after a few turns instead of building archives for ever.
--
-- `archived_at` is the first time from now on, and `status_since` goes back to it whenever the training waits to be submitted
-- again: what is repeated does not restart its own deadline.
-- Safe with the previous binary: it does not read the column, and restarts deadlines as it always did.
-- Locks: ACCESS EXCLUSIVE on trainings for the time of a catalogue change; no rewrite (a constant default).

alter table trainings add column archives_lost smallint not null default 0;
comment on column trainings.archives_lost is 'Archives that FAL could not have fetched when their turn came. Raised by submit_training; at the third the training fails.';
comment on column trainings.archived_at   is 'When the first archive lay where FAL can fetch it. From then on the training waits to be submitted, also while a lost archive is built again. NULL before.';
comment on column trainings.status_since  is 'Since when it is at this step; deadlines count from it. Kept (archived_at) by what is repeated: a lost archive, a submit that FAL did not take.';
