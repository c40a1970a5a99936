-- An operator's retry of a dead letter starts its snooze cap anew, so created_at is moved by it.
-- Safe with the previous binary: only a comment. Locks: jobs, for an instant.

comment on column jobs.created_at is 'Of the enqueuing transaction, or of the last retry by an operator. A snooze is granted until created_at plus the kind''s snooze cap.';
