-- A final message gives way to the last word of its training's progress message, for seconds: since when is noted here, so
-- that an edit that fails holds it back for no longer.
-- Safe with the previous binary: it neither reads nor writes the column, and sends finals at once.
-- Locks: notifications, exclusively and for a moment (a column without a default rewrites nothing).

alter table notifications add column held_since timestamptz;
comment on column notifications.held_since is 'When a final message first had its turn and gave way to an edit that its reader should see before. NULL: it never had to.';
