-- The queue: one row a job, one row an attempt that did not go well at the first try, and who sleeps.
--
--   scheduled → ready → running → done | dead | cancelled
--   running → scheduled (retry with backoff, snooze) | ready (released by a stopping worker, rescued)
--
-- Written only by jobs/src/enqueue.rs (insert) and jobs/src/queue/ (everything else). Fast because of what is
-- *not* indexed: lease_until and cancel_requested change while a job runs, so those updates stay HOT; every state
-- has a small partial index of its own, so that a million finished or scheduled rows cost a claim nothing.
-- No UNLOGGED tables (K8): a job survives a crash of the server.
-- Safe with the previous binary: there is none. Locks: none (new tables).

create type job_state as enum (
    'scheduled',  -- waits for run_at; promoted to ready by any worker
    'ready',      -- may be claimed
    'running',    -- claimed under a lease by exactly one worker
    'done',       -- had its effect, or there was nothing to do, or a newer job of its key took over (superseded_by)
    'dead',       -- given up, out of attempts, or undecodable: a dead letter
    'cancelled'   -- ended by request
);
create type dedupe_scope as enum (
    'until_done',    -- one live job of the key
    'until_started'  -- one waiting and one running job of the key (coalescing kinds)
);
create type claim_outcome as enum ('done', 'failed', 'timed_out', 'panicked', 'lost', 'gave_up', 'undecodable', 'cancelled');

-- Columns by width, widest first, so that no row carries padding.
create table jobs (
    id               bigint      generated always as identity primary key,
    run_at           timestamptz not null,
    created_at       timestamptz not null default now(),
    claimed_at       timestamptz,
    lease_until      timestamptz,
    finished_at      timestamptz,
    superseded_by    bigint,
    attempt          integer     not null default 0,
    snoozes          integer     not null default 0,
    state            job_state   not null,
    dedupe_scope     dedupe_scope,
    version          smallint    not null,
    priority         smallint    not null,
    cancel_requested boolean     not null default false,
    claim_id         uuid,
    kind             text        not null,
    queue            text        not null,
    dedupe_key       text,
    worker           text,
    error_code       text,
    error            text,
    payload          jsonb       not null,
    constraint jobs_counts check (attempt >= 0 and snoozes >= 0 and version > 0),
    constraint jobs_running_is_leased check ((state = 'running') = (lease_until is not null)),
    constraint jobs_running_is_claimed check (state <> 'running' or (claim_id is not null and worker is not null and claimed_at is not null)),
    constraint jobs_final_is_finished check ((state in ('done', 'dead', 'cancelled')) = (finished_at is not null)),
    constraint jobs_dead_has_reason check (state <> 'dead' or error_code is not null),
    constraint jobs_key_has_scope check ((dedupe_key is null) = (dedupe_scope is null) and dedupe_key <> ''),
    constraint jobs_only_a_running_one_is_asked_to_stop check (not cancel_requested or state in ('running', 'cancelled'))
) with (
    fillfactor = 85,                        -- room for the HOT updates of heartbeats
    autovacuum_vacuum_scale_factor = 0.02,  -- a queue lives by its dead rows being swept, whatever its history holds
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);
comment on column jobs.kind         is 'Job::NAME. A worker claims only kinds it knows (K4).';
comment on column jobs.version      is 'Version of the payload''s shape. A worker claims only versions up to the one it knows (K4).';
comment on column jobs.priority     is 'Higher first within a queue; from the kind''s policy at enqueue.';
comment on column jobs.run_at       is 'Earliest start, and the order within a priority. Moved by retries and snoozes.';
comment on column jobs.created_at   is 'Of the enqueuing transaction. A snooze is granted until created_at plus the kind''s snooze cap.';
comment on column jobs.attempt      is 'Runs charged so far: raised at claim, given back by a snooze or a release. Only counts; claim_id fences.';
comment on column jobs.snoozes      is 'How often it was put off at no charge.';
comment on column jobs.claim_id     is 'Fencing token of the last claim: the worker''s boot id and a counter, never reused (K2). NULL until the first claim.';
comment on column jobs.worker       is 'Who made the last claim. For operators; nothing is decided by it.';
comment on column jobs.claimed_at   is 'When the last claim was made.';
comment on column jobs.lease_until  is 'Database time at which a silent worker is taken for dead. Set while running, moved by heartbeats.';
comment on column jobs.cancel_requested is 'Set by an operator on a running job; the worker''s next heartbeat sees it and ends the run.';
comment on column jobs.dedupe_key   is 'What makes two jobs of a kind the same work. NULL: never the same.';
comment on column jobs.dedupe_scope is 'How long the key is taken. NULL without a key.';
comment on column jobs.error_code   is 'Stable code of the last failure or the dead reason; dead letters are grouped by it. NULL if there was none.';
comment on column jobs.error        is 'Message to error_code, or why the job snoozed last.';
comment on column jobs.superseded_by is 'The waiting job of the same until_started key that took over when this one could not finish. NULL otherwise.';

-- The claim walks this in order and stops at its limit.
create index jobs_claim on jobs (queue, priority desc, run_at, id) where state = 'ready';
create index jobs_due on jobs (run_at) where state = 'scheduled';
-- Not on lease_until: see above. As many rows as there are busy slots.
create index jobs_running on jobs (queue, id) where state = 'running';
create index jobs_dead on jobs (finished_at) where state = 'dead';
create unique index jobs_live_key on jobs (kind, dedupe_key)
    where dedupe_scope = 'until_done' and state in ('scheduled', 'ready', 'running');
create unique index jobs_waiting_key on jobs (kind, dedupe_key)
    where dedupe_scope = 'until_started' and state in ('scheduled', 'ready');
create unique index jobs_running_key on jobs (kind, dedupe_key)
    where dedupe_scope = 'until_started' and state = 'running';

create table job_attempts (
    job_id     bigint        not null references jobs (id) on delete cascade,
    claim_id   uuid          not null,
    attempt    integer       not null,
    worker     text          not null,
    started_at timestamptz   not null,
    ended_at   timestamptz   not null default now(),
    outcome    claim_outcome not null,
    error_code text,
    error      text,
    primary key (job_id, claim_id),
    constraint job_attempts_failure_has_reason check ((outcome = 'done') = (error_code is null))
);
comment on table  job_attempts          is 'How each claim of a job ended. A success at the first attempt writes no row, nor does a snooze or a release.';
comment on column job_attempts.attempt  is 'The attempt that the claim was charged as.';
comment on column job_attempts.outcome  is 'lost: the lease ran out without a word from the worker.';

-- Workers whose slots of a queue are free and that wait for a wake-up. Whoever makes a job ready sends a NOTIFY
-- only if there is one: commits with a NOTIFY queue up behind one server-wide lock, and cost two thirds of the
-- enqueue rate.
create table queue_sleepers (
    queue  text        not null,
    worker text        not null,
    until  timestamptz not null,
    primary key (queue, worker)
);
comment on column queue_sleepers.until is 'Moved by the worker''s heartbeat; a row past it was left by a dead worker and is swept.';

-- Wakes the sleepers of a queue when the calling transaction commits; says whether there may be any.
--
-- No wake-up is lost. A worker commits its row in queue_sleepers, then takes the queue's advisory lock alone and
-- gives it back, then looks for jobs, then sleeps. We hold the lock shared until we commit. So either we had it
-- before the worker: then it waits for our commit and its look finds our job. Or we ask after the worker asked:
-- then we fail to get it (and notify), or we get it after the worker gave it back, and the look below, whose
-- snapshot is newer than the lock, finds the worker's row. The two statements must not become one: one snapshot
-- would be taken before the lock.
create function queue_wake(queue text) returns boolean language plpgsql as $$
declare
    locked boolean := pg_try_advisory_xact_lock_shared(1634300776, hashtext(queue));
    asleep boolean := true;
begin
    -- Any other isolation level looks with the transaction's first snapshot, which may be older than the lock.
    if locked and current_setting('transaction_isolation') = 'read committed' then
        asleep := exists (select from queue_sleepers s where s.queue = queue_wake.queue);
    end if;
    if asleep then
        perform pg_notify('aisha_jobs', queue);
    end if;
    return asleep;
end
$$;

create function jobs_wake() returns trigger language plpgsql as $$
declare
    woken text;
begin
    for woken in select distinct fresh.queue from fresh where fresh.state = 'ready' loop
        perform queue_wake(woken);
    end loop;
    return null;
end
$$;
create trigger jobs_wake after insert on jobs
    referencing new table as fresh for each statement execute function jobs_wake();
