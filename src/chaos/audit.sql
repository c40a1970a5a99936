-- The suite's own books inside the database: what rows alone no longer show at rest. Written by triggers, read by
-- invariants.rs, and seen by nobody else.
create schema chaos;

-- Every arrival in a final state. More than one for a job: two holders of it committed (I8).
create table chaos.job_ends (
    job_id bigint, kind text, from_state text, to_state text, at timestamptz not null default clock_timestamp()
);
create function chaos.note_job_end() returns trigger language plpgsql as $$
begin
    insert into chaos.job_ends (job_id, kind, from_state, to_state) values (new.id, new.kind, old.state::text, new.state::text);
    return null;
end
$$;
create trigger chaos_job_ends after update on jobs for each row
    when (old.state in ('done', 'dead', 'cancelled') or new.state in ('done', 'dead', 'cancelled'))
    execute function chaos.note_job_end();

-- Claims that are not the first: what a rescue leads to (I11).
create table chaos.reclaims (
    job_id bigint, worker text, attempt integer, at timestamptz not null default clock_timestamp()
);
create function chaos.note_reclaim() returns trigger language plpgsql as $$
begin
    insert into chaos.reclaims (job_id, worker, attempt) values (new.id, new.worker, new.attempt);
    return null;
end
$$;
create trigger chaos_reclaims after update on jobs for each row
    when (new.state = 'running' and old.state <> 'running' and new.attempt > 1)
    execute function chaos.note_reclaim();

-- Every step of a training: a final one is left by nobody (I8).
create table chaos.training_steps (
    training_id uuid, from_status text, to_status text, at timestamptz not null default clock_timestamp()
);
create function chaos.note_training_step() returns trigger language plpgsql as $$
begin
    insert into chaos.training_steps (training_id, from_status, to_status) values (new.id, old.status::text, new.status::text);
    return null;
end
$$;
create trigger chaos_training_steps after update on trainings for each row
    when (old.status <> new.status)
    execute function chaos.note_training_step();

-- The same work enqueued while it waits already: no dedupe key kept it out (I12).
create table chaos.same_work (
    job_id bigint, kind text, at timestamptz not null default clock_timestamp()
);
create index chaos_same_work on jobs (kind, md5(payload::text)) where state in ('scheduled', 'ready');
create function chaos.note_same_work() returns trigger language plpgsql as $$
begin
    insert into chaos.same_work (job_id, kind)
    select new.id, new.kind
     where exists (select from jobs other
                    where other.kind = new.kind and md5(other.payload::text) = md5(new.payload::text)
                      and other.state in ('scheduled', 'ready') and other.id <> new.id);
    return null;
end
$$;
create trigger chaos_same_work after insert on jobs for each row execute function chaos.note_same_work();
