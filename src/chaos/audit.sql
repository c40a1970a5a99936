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

-- Every step of a training, a request for pictures or an album: a final one is left by nobody (I8).
create table chaos.steps (
    what text, id uuid, from_status text, to_status text, at timestamptz not null default clock_timestamp()
);
create function chaos.note_step() returns trigger language plpgsql as $$
begin
    insert into chaos.steps (what, id, from_status, to_status)
    values (tg_argv[0], new.id, old.status::text, new.status::text);
    return null;
end
$$;
create trigger chaos_steps after update on trainings for each row
    when (old.status <> new.status) execute function chaos.note_step('training');
create trigger chaos_steps after update on generations for each row
    when (old.status <> new.status) execute function chaos.note_step('generation');
create trigger chaos_steps after update on albums for each row
    when (old.status <> new.status) execute function chaos.note_step('album');

-- The last state of each row about people. Users delete rows, and what these said is evidence all the same (I2, I3, I4, I10).
create table chaos.kept (
    source text, id uuid, body jsonb not null, gone_at timestamptz, primary key (source, id)
);
create function chaos.keep() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        update chaos.kept set gone_at = clock_timestamp() where source = tg_table_name and id = old.id;
    else
        insert into chaos.kept (source, id, body) values (tg_table_name, new.id, to_jsonb(new))
            on conflict (source, id) do update set body = excluded.body;
    end if;
    return null;
end
$$;
create trigger chaos_kept after insert on avatar_photos for each row execute function chaos.keep();
-- Of the messages only those that were perhaps sent twice: there are many, and each changes often.
create trigger chaos_kept after update on notifications for each row
    when (new.possible_duplicates > 0) execute function chaos.keep();
do $$
declare source text;
begin
    foreach source in array array['users', 'avatars', 'trainings', 'albums', 'generations', 'training_attempts', 'pictures'] loop
        execute format('create trigger chaos_kept after insert or update or delete on %I for each row execute function chaos.keep()',
                       source);
    end loop;
    foreach source in array array['users', 'avatars', 'avatar_photos', 'trainings', 'albums', 'generations',
                                  'training_attempts', 'pictures', 'notifications'] loop
        -- chaos.all_trainings is trainings with the rows that are gone, and so on.
        execute format('create view chaos.%I as select kept.gone_at, was.* from chaos.kept, jsonb_populate_record(null::public.%I, kept.body) was where kept.source = %L',
                       'all_' || source, source, source);
    end loop;
end
$$;
-- The deliveries that were stored: those about a user go with the user.
create table chaos.deliveries (request_id text);
create function chaos.note_delivery() returns trigger language plpgsql as $$
begin
    insert into chaos.deliveries (request_id) values (new.request_id);
    return null;
end
$$;
create trigger chaos_deliveries after insert on fal_deliveries for each row execute function chaos.note_delivery();

-- Where rows still have one of these words, as `table: word`. A word is a UUID or a number of ten digits. queue_controls names
-- the fairness key of the last turn, a user's random id, until the next turn.
create function chaos.mentions(words text[]) returns setof text language plpgsql as $$
declare source text;
begin
    for source in select tablename from pg_tables where schemaname = 'public' and tablename not in ('_sqlx_migrations', 'queue_controls') loop
        return query execute format(
            'select distinct %L || found[1] from public.%I t, regexp_matches(t::text, %L, %L) found where found[1] = any ($1)',
            source || ': ', source, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9]{10}', 'g') using words;
    end loop;
end
$$;

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
