-- A commit that sends a NOTIFY fails while the server's queue of notifications is full: a session anywhere in the
-- cluster that has listened and sits in a transaction holds its end. So above half nobody is woken, and polling finds the
-- jobs (Q25). `alter database … set aisha.notify_limit = 0.25` sets another limit; 1 sends always.
-- Safe with the previous binary: it asks the same function. Locks: none.

create or replace function queue_wake(queue text) returns boolean language plpgsql as $$
declare
    locked boolean := pg_try_advisory_xact_lock_shared(1634300776, hashtext(queue));
    asleep boolean := true;
begin
    -- Any other isolation level looks with the transaction's first snapshot, which may be older than the lock.
    if locked and current_setting('transaction_isolation') = 'read committed' then
        asleep := exists (select from queue_sleepers s where s.queue = queue_wake.queue);
    end if;
    if asleep and pg_notification_queue_usage() > coalesce(nullif(current_setting('aisha.notify_limit', true), '')::float8, 0.5) then
        return false;
    end if;
    if asleep then
        perform pg_notify('aisha_jobs', queue);
    end if;
    return asleep;
end
$$;
