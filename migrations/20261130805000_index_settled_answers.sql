-- no-transaction
-- The bot's answers by age, for the job that deletes them.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists notifications_settled_answers on notifications (closed_at) where kind = 'reply' and closed_at is not null;
