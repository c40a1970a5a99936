-- Q14: a queue can be paused and limited, users take turns, and starts can be held to a rate: over all workers.
--
-- A queue is *governed* while it is paused or limited, while jobs with a fairness key are ready in it, or while its
-- workers have a rate for it. Governed claims go through queue_claim() below, one at a time per queue; all others
-- go the fast way (exchange.sql), which only looks whether the queue is governed.
--
-- A ready job is in one of two indexes: without a key in jobs_claim, with one in jobs_fair. So neither costs the other
-- a write, and a claim that wants the next key finds it without walking a key's rows.
--
-- Safe with the previous binary: correct, and slow: its claims do not know that jobs_claim holds keyless jobs only,
-- and fall back to the primary key; it also knows no pause. Stop its workers first. Locks: jobs is locked while its
-- index of ready jobs is made anew, which takes moments.

-- "C": keys are compared byte by byte, which is all that turns need.
alter table jobs
    add column fair_key text collate "C",
    add constraint jobs_fair_key_is_not_empty check (fair_key <> '');
comment on column jobs.fair_key is 'Who the job is for, e.g. a user: keys of a queue take turns, each has its own limit and rate. NULL: one turn for all such jobs together.';

drop index jobs_claim;
-- The fast claim walks this in order and stops at its limit.
create index jobs_claim on jobs (queue, priority desc, run_at, id) where state = 'ready' and fair_key is null;
-- The governed claim steps from key to key, and takes each key's first.
create index jobs_fair on jobs (queue, fair_key, priority desc, run_at, id) where state = 'ready' and fair_key is not null;
create index jobs_fair_running on jobs (queue, fair_key) where state = 'running' and fair_key is not null;

create table queue_controls (
    queue               text        primary key,
    paused_at           timestamptz,
    paused_by           text,
    pause_reason        text,
    max_running         integer,
    max_running_per_key integer,
    last_turn           text        not null default '' collate "C",
    governed            boolean     not null generated always as
                            (paused_at is not null or max_running is not null or max_running_per_key is not null) stored,
    constraint queue_controls_pause_has_author check ((paused_at is null) = (paused_by is null)
                                                      and (pause_reason is null or paused_at is not null)),
    constraint queue_controls_limits check (max_running > 0 and max_running_per_key > 0)
) with (fillfactor = 50);
comment on table  queue_controls                     is 'What operators decided for a queue. No row: nothing. Its row is locked by each governed claim.';
comment on column queue_controls.paused_at           is 'Since when nothing is claimed from the queue. NULL: it is not paused.';
comment on column queue_controls.paused_by           is 'Who paused it.';
comment on column queue_controls.max_running         is 'Most jobs that run at once over all workers. NULL: as many as there are slots.';
comment on column queue_controls.max_running_per_key is 'Most jobs of one fairness key that run at once. NULL: no limit.';
comment on column queue_controls.last_turn           is 'Whose turn was last: the next claim begins after it. Empty: the jobs without a key.';

create table queue_control_changes (
    id         bigint      generated always as identity primary key,
    queue      text        not null,
    changed_at timestamptz not null default now(),
    changed_by text        not null,
    change     text        not null,
    reason     text
);
comment on table  queue_control_changes        is 'Every change of queue_controls, for operators. Never updated.';
comment on column queue_control_changes.change is 'In words, e.g. "paused" or "max_running 4".';

-- Buckets as of the generic cell rate algorithm: one moment says all. A full bucket needs no row.
create table queue_buckets (
    queue       text        not null,
    key         text        not null collate "C",
    full_at     timestamptz not null default '-infinity',
    quiet_until timestamptz not null default '-infinity',
    held_at     timestamptz,
    primary key (queue, key)
) with (fillfactor = 50);
comment on table  queue_buckets             is 'How much of its rate a queue (key empty) or a key has used up lately. Rows of full buckets are swept.';
comment on column queue_buckets.full_at     is 'When the bucket is full again if nothing more is taken.';
comment on column queue_buckets.quiet_until is 'The other side asked for silence until then (429).';
comment on column queue_buckets.held_at     is 'When it last asked. NULL: never.';

-- Whether a bucket grants starts: as many as it holds now (a large number without a rate), and when the next is there.
-- per_second NULL: no rate, only silence counts. What was saved up before a silence is not granted after it.
create function queue_bucket_grants(full_at timestamptz, quiet_until timestamptz, moment timestamptz,
                                    per_second float8, burst integer, out starts integer, out next_in float8)
language sql stable as $$
    select case when owed > 0 then 0
                when per_second is null then 1000000
                else floor(-owed * per_second + 1e-6)::integer + 1 end,
           greatest(owed, 0)
      from (select case when per_second is null or moment < quiet_until
                        then extract(epoch from greatest(quiet_until, to_timestamp(0)) - moment)
                        else extract(epoch from greatest(full_at, quiet_until + make_interval(secs => (burst - 1) / per_second),
                                                         moment) - moment) - (burst - 1) / per_second
                   end::float8 as owed) as bucket
$$;

-- Takes n starts out of a bucket that granted them.
create function queue_bucket_take(of_queue text, of_key text, n integer, moment timestamptz, per_second float8, burst integer)
returns void language sql as $$
    insert into queue_buckets as b (queue, key, full_at)
    values (of_queue, of_key, moment + make_interval(secs => n / per_second))
    on conflict (queue, key) do update
       set full_at = greatest(b.full_at, b.quiet_until + make_interval(secs => (burst - 1) / per_second), moment)
                     + make_interval(secs => n / per_second)
$$;

-- Claims up to `slots` jobs of a governed queue under the token `for_claim`; the caller then reads them by it.
--
-- One claim at a time a queue: the row of queue_controls is locked first, and what is counted after it is counted in a
-- newer snapshot, so that two workers never both see the last free place. It is one call, so that no worker can be
-- stopped between the lock and the commit; and it returns numbers only, so that none can hold the lock by not
-- reading what it is sent.
--
-- Turns: from the key after the last one served, round and round; one job of each that may have one. Within a key
-- priority, run_at, id. A key at its limit or out of its rate costs two index lookups, however many jobs it has.
--
-- freed: a job of this worker has ended since its last claim. If there is room that it does not take itself, others
-- are woken, since they may have been refused for want of it.
create function queue_claim(of_queue text, for_claim uuid, by_worker text, lease float8,
                            known_kinds text[], known_versions smallint[], slots integer, freed boolean,
                            queue_rate float8, queue_burst integer, key_rate float8, key_burst integer,
                            out claimed integer, out paused boolean, out next_in float8)
language plpgsql
-- One plan for ever, as the engine's connections have it (engine.rs); a pooler may keep its settings from us.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
    control queue_controls;
    moment  timestamptz;
    bucket  queue_buckets;
    lane    text collate "C";
    room    integer := slots;  -- what we may still take
    places  integer;           -- what anybody may still take
    round   integer;           -- taken in this round
    took    integer;
    many    boolean;           -- there are keys, so that none takes more than one a turn
    starts  integer;           -- what the queue's rate grants
    granted record;
begin
    claimed := 0;
    select * into control from queue_controls c where c.queue = of_queue for no key update;
    if not found then
        insert into queue_controls (queue) values (of_queue) on conflict do nothing;
        select * into control from queue_controls c where c.queue = of_queue for no key update;
    end if;
    moment := clock_timestamp();
    paused := control.paused_at is not null;
    if paused then
        return;
    end if;
    if control.max_running is not null then
        select control.max_running - count(*) into places
          from (select from jobs j where j.queue = of_queue and j.state = 'running' limit control.max_running) as running;
        room := least(room, places);
    end if;
    select * into bucket from queue_buckets b where b.queue = of_queue and b.key = '';
    if queue_rate is not null or found then
        select * into granted from queue_bucket_grants(coalesce(bucket.full_at, '-infinity'), coalesce(bucket.quiet_until, '-infinity'),
                                                       moment, queue_rate, queue_burst);
        starts := granted.starts;
        if starts = 0 then
            next_in := granted.next_in;
        end if;
        room := least(room, starts);
    end if;

    many := exists (select from jobs j where j.queue = of_queue and j.state = 'ready' and j.fair_key is not null);
    lane := control.last_turn;
    round := 1;
    while room > 0 loop
        select j.fair_key into lane from jobs j
         where j.queue = of_queue and j.state = 'ready' and j.fair_key is not null and j.fair_key > lane
         order by j.fair_key limit 1;
        if not found then
            exit when round = 0;
            round := 0;
            lane := '';
            update jobs
               set state = 'running', attempt = attempt + 1, claim_id = for_claim, worker = by_worker, prefetched = false,
                   claimed_at = moment, lease_until = moment + make_interval(secs => lease)
             where id = any (array (
                select j.id from jobs j
                 where j.queue = of_queue and j.state = 'ready' and j.fair_key is null
                   and j.version <= known_versions[array_position(known_kinds, j.kind)]
                   and (j.dedupe_scope is distinct from 'until_started'
                        or not exists (select from jobs r where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                                            and r.dedupe_scope = 'until_started' and r.state = 'running'))
                 order by j.priority desc, j.run_at, j.id
                 limit case when many then 1 else room end
                   for update of j skip locked));
            get diagnostics took = row_count;
        else
            if control.max_running_per_key is not null then
                perform from jobs j where j.queue = of_queue and j.state = 'running' and j.fair_key = lane
                 offset control.max_running_per_key - 1 limit 1;
                continue when found;
            end if;
            select * into bucket from queue_buckets b where b.queue = of_queue and b.key = lane;
            if found then
                select * into granted from queue_bucket_grants(bucket.full_at, bucket.quiet_until, moment, key_rate, key_burst);
                if granted.starts = 0 then
                    next_in := least(next_in, granted.next_in);
                    continue;
                end if;
            end if;
            update jobs
               set state = 'running', attempt = attempt + 1, claim_id = for_claim, worker = by_worker, prefetched = false,
                   claimed_at = moment, lease_until = moment + make_interval(secs => lease)
             where id = any (array (
                select j.id from jobs j
                 where j.queue = of_queue and j.state = 'ready' and j.fair_key = lane
                   and j.version <= known_versions[array_position(known_kinds, j.kind)]
                   and (j.dedupe_scope is distinct from 'until_started'
                        or not exists (select from jobs r where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                                            and r.dedupe_scope = 'until_started' and r.state = 'running'))
                 order by j.priority desc, j.run_at, j.id
                 limit 1
                   for update of j skip locked));
            get diagnostics took = row_count;
            if took > 0 and key_rate is not null then
                perform queue_bucket_take(of_queue, lane, took, moment, key_rate, key_burst);
            end if;
        end if;
        if took > 0 then
            control.last_turn := lane;
            claimed := claimed + took;
            round := round + took;
            room := room - took;
        end if;
    end loop;

    if claimed > 0 then
        update queue_controls c set last_turn = control.last_turn where c.queue = of_queue and c.last_turn <> control.last_turn;
        if queue_rate is not null then
            perform queue_bucket_take(of_queue, '', claimed, moment, queue_rate, queue_burst);
            if claimed = starts then
                next_in := least(next_in, 1 / queue_rate);
            end if;
        end if;
    end if;
    if freed and control.governed and (places is null or places > claimed)
       and (many or exists (select from jobs j where j.queue = of_queue and j.state = 'ready' and j.fair_key is null)) then
        perform queue_wake(of_queue);
    end if;
end
$$;
