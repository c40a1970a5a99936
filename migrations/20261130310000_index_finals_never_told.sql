-- no-transaction
-- The final messages that never arrived, by the user who may be back; they are few.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists notifications_finals_never_told on notifications (user_id)
    where kind = 'final' and delivered_revision = 0 and outcome in ('unreachable', 'rejected', 'undeliverable');
