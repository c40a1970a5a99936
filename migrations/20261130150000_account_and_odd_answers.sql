-- What FAL says of our account, whichever call it was; and how often in a row FAL denied a request that it has.
--
-- Safe with the previous binary: it reads none of the new columns, parks by a submit alone (which is the default of
-- "call"), and ends a training at the first denial, as before.
-- Locks: ACCESS EXCLUSIVE on both tables for the time of a catalogue change; no rewrite (constant defaults).
alter table fal_account
    add column call            text not null default 'submit',
    add column upload_probe_at timestamptz;
comment on table  fal_account                 is 'One row while FAL refuses our key or account (401, 402, 403): no worker uploads or submits then. No row: all is well.';
comment on column fal_account.call            is 'What was refused last: submit, upload, status, result or cancel. What shows that it passed: that call, or a submit.';
comment on column fal_account.upload_probe_at is 'From then on one archive may find out whether uploads are taken. NULL: they are not known to be refused.';

alter table trainings
    add column odd_answers         smallint not null default 0,
    add column held_by_account_at  timestamptz;
comment on column trainings.odd_answers        is 'Answers in a row by which FAL denied the request or said nothing of it; believed when they were a few; of a trained one, looks at a model that is none. Written by poll_status and store_model.';
comment on column trainings.held_by_account_at is 'When build_archive first waited for our account at FAL; it has the time of a submit then. NULL: it did not.';
