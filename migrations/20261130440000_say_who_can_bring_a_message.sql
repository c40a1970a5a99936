-- Who can say a message: in a rolling deploy a worker of the version before met a phrase that it did not know, and gave the
-- message up.
-- Safe with the previous binary: it neither reads nor writes the new column; what it puts into the outbox every version can say.
-- Locks: notifications, exclusively and for a moment (a column with a constant default rewrites nothing).

alter table notifications add column needs_version smallint not null default 1;
comment on column notifications.needs_version is 'The lowest version of notify_user that can say it, by its newest phrase; from whoever wrote the message, or from a worker that could not read it.';

comment on column fal_account.call is 'What was refused last: submit, upload, status, result, cancel or request list. What shows that it passed: that call, or a submit.';
