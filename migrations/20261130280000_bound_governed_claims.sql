-- Governed claims cost the same however many keys must wait and however many jobs nobody here knows (Q26).
--
-- Each key on the way cost several statements, one of which was planned anew each time: 10,000 keys out of their rate took
-- seconds, under the lock that all claims of the queue need. Now one statement walks from key to key, a claim walks past a
-- bounded number of them, and says where it came to; the pump goes on from there, and others claim in between. What lies
-- in the way and is not known is parked (*_park_unknown_jobs.sql).
--
-- Safe with the previous binary: queue_claim() is there as before, with a whole walk in one call. Locks: none.

-- Parks jobs that the caller does not know, unless somebody has them locked. Answers how many.
create function queue_park(ids bigint[]) returns integer language plpgsql as $$
declare
    parked integer;
begin
    update jobs
       set parked_priority = priority, priority = -32768, parked_key = fair_key, fair_key = null
     where id = any (array (select j.id from jobs j
                             where j.id = any (ids) and j.state = 'ready' and j.parked_priority is null
                               for update of j skip locked));
    get diagnostics parked = row_count;
    return parked;
end
$$;

-- Puts the first jobs of each kind and version that the caller knows back where all others are.
create function queue_unpark(of_queue text, known_kinds text[], known_versions smallint[], most integer)
returns void language plpgsql as $$
begin
    update jobs
       set priority = parked_priority, fair_key = parked_key, parked_priority = null, parked_key = null
     where id = any (array (
        select first.id
          from unnest(known_kinds, known_versions) as known (kind, version)
         cross join lateral generate_series(1, known.version) as readable (version)
         cross join lateral (select j.id from jobs j
                              where j.queue = of_queue and j.state = 'ready' and j.parked_priority is not null
                                and j.kind = known.kind and j.version = readable.version
                              order by j.parked_priority desc, j.run_at, j.id
                              limit most
                                for update of j skip locked) as first));
end
$$;

-- Claims the first jobs of one key, or of no key, and parks what it meets on the way and does not know. more: it gave up
-- after some parking, and there may be jobs to claim behind.
create function queue_take(of_queue text, lane text, for_claim uuid, by_worker text, lease float8,
                           known_kinds text[], known_versions smallint[], wanted integer, moment timestamptz,
                           out took integer, out parked integer, out more boolean)
language plpgsql as $$
declare
    front   integer;   -- how many were looked at
    fit     bigint[];  -- of these what may be claimed
    unknown bigint[];  -- and what may not, since it is not known
    moved   integer;
begin
    took := 0;
    parked := 0;
    loop
        if lane is null then
            select count(*), array_agg(f.id) filter (where f.known and f.free), array_agg(f.id) filter (where not f.known)
              into front, fit, unknown
              from (select j.id, coalesce(j.version <= known_versions[array_position(known_kinds, j.kind)], false) as known,
                           j.dedupe_scope is distinct from 'until_started'
                           or not exists (select from jobs r where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                                               and r.dedupe_scope = 'until_started' and r.state = 'running') as free
                      from jobs j
                     where j.queue = of_queue and j.state = 'ready' and j.fair_key is null and j.priority > -32768
                     order by j.priority desc, j.run_at, j.id
                     limit wanted - took + 50) as f;
        else
            select count(*), array_agg(f.id) filter (where f.known and f.free), array_agg(f.id) filter (where not f.known)
              into front, fit, unknown
              from (select j.id, coalesce(j.version <= known_versions[array_position(known_kinds, j.kind)], false) as known,
                           j.dedupe_scope is distinct from 'until_started'
                           or not exists (select from jobs r where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                                               and r.dedupe_scope = 'until_started' and r.state = 'running') as free
                      from jobs j
                     where j.queue = of_queue and j.state = 'ready' and j.fair_key = lane
                     order by j.priority desc, j.run_at, j.id
                     limit wanted - took + 5) as f;
        end if;
        moved := 0;
        if fit is not null then
            update jobs
               set state = 'running', attempt = attempt + 1, claim_id = for_claim, worker = by_worker, prefetched = false,
                   claimed_at = moment, lease_until = moment + make_interval(secs => lease)
             where id = any (array (select j.id from jobs j where j.id = any (fit) and j.state = 'ready'
                                     order by j.priority desc, j.run_at, j.id
                                     limit wanted - took
                                       for update of j skip locked));
            get diagnostics moved = row_count;
            took := took + moved;
        end if;
        if unknown is not null then
            moved := moved + queue_park(unknown);
            parked := parked + cardinality(unknown);
        end if;
        more := took < wanted and moved > 0 and front >= wanted;
        exit when not more or parked > 200;
    end loop;
end
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
-- steps: keys that it may walk past, and jobs that it may park. When they are used up before the walk came round,
-- walk_at says where it is, walk_mark and walk_wrapped where it ends: for the caller's next call, which may come at once.
-- NULL: the walk begins here, or has ended.
--
-- freed: a job of this worker has ended since its last claim. If there is room that it does not take itself, others
-- are woken, since they may have been refused for want of it.
create function queue_claim_step(of_queue text, for_claim uuid, by_worker text, lease float8,
                            known_kinds text[], known_versions smallint[], slots integer, freed boolean,
                            queue_rate float8, queue_burst integer, key_rate float8, key_burst integer,
                            steps integer, inout walk_at text, inout walk_mark text, inout walk_wrapped boolean,
                            out claimed integer, out paused boolean, out next_in float8)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
    control queue_controls;
    moment  timestamptz;
    bucket  queue_buckets;
    slack   interval := make_interval(secs => (key_burst - 1) / key_rate);  -- NULL without a rate
    free_at timestamptz;
    room    integer := slots;  -- what we may still take
    places  integer;           -- what anybody may still take
    starts  integer;           -- what the queue's rate grants
    many    boolean;           -- there are keys, so that none takes more than one a turn
    lane    text collate "C";  -- whose turn it is
    mark    text collate "C";  -- once round from there without a job, and there is none
    wrapped boolean;           -- the walk came to the end of the keys since then
    took    integer;
    more    boolean;
    done    boolean := false;
    granted record;
    step    record;
begin
    claimed := 0;
    select * into control from queue_controls c where c.queue = of_queue for no key update;
    if not found then
        insert into queue_controls (queue) values (of_queue) on conflict do nothing;
        select * into control from queue_controls c where c.queue = of_queue for no key update;
    end if;
    moment := clock_timestamp();
    lane := coalesce(walk_at, control.last_turn);
    mark := coalesce(walk_mark, lane);
    wrapped := coalesce(walk_wrapped, false);
    walk_at := null;
    walk_mark := null;
    walk_wrapped := null;
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

    if room > 0 and exists (select from jobs j where j.queue = of_queue and j.state = 'ready' and j.parked_priority is not null) then
        perform queue_unpark(of_queue, known_kinds, known_versions, room);
    end if;
    many := exists (select from jobs j where j.queue = of_queue and j.state = 'ready' and j.fair_key is not null);
    while room > 0 and not done loop
        -- Key after key, none of whose jobs is walked.
        for step in
            with recursive walk (key) as (
                (select j.fair_key from jobs j
                  where j.queue = of_queue and j.state = 'ready' and j.fair_key is not null and j.fair_key > lane
                  order by j.fair_key limit 1)
                union all
                select (select j.fair_key from jobs j
                         where j.queue = of_queue and j.state = 'ready' and j.fair_key is not null and j.fair_key > walk.key
                         order by j.fair_key limit 1)
                  from walk where walk.key is not null
            )
            select walk.key, b.full_at, b.quiet_until
              from walk left join queue_buckets b on b.queue = of_queue and b.key = walk.key
             where walk.key is not null
        loop
            done := wrapped and step.key > mark;
            exit when done or room <= 0;
            if steps <= 0 then
                walk_at := lane;
                walk_mark := mark;
                walk_wrapped := wrapped;
                done := true;
                exit;
            end if;
            steps := steps - 1;
            lane := step.key;
            -- As queue_bucket_grants() has it.
            free_at := case when slack is null or step.full_at = 'infinity' then step.quiet_until
                            else greatest(step.quiet_until, step.full_at - slack) end;
            if free_at > moment then
                next_in := least(next_in, extract(epoch from free_at - moment));
                continue;
            end if;
            if control.max_running_per_key is not null then
                perform from jobs j where j.queue = of_queue and j.state = 'running' and j.fair_key = lane
                 offset control.max_running_per_key - 1 limit 1;
                continue when found;
            end if;
            -- Its collation is that of the columns of text: an index of theirs serves no other.
            select t.took, steps - t.parked, t.more into took, steps, more
              from queue_take(of_queue, lane collate "default", for_claim, by_worker, lease, known_kinds, known_versions, 1, moment) as t;
            if more then
                mark := lane;
                wrapped := false;
            end if;
            if took > 0 then
                if key_rate is not null then
                    perform queue_bucket_take(of_queue, lane, took, moment, key_rate, key_burst);
                end if;
                claimed := claimed + took;
                room := room - took;
                control.last_turn := lane;
                mark := lane;
                wrapped := false;
            end if;
        end loop;
        exit when done or room <= 0;
        -- After the last key it is the turn of all jobs without one.
        select t.took, steps - t.parked, t.more into took, steps, more
          from queue_take(of_queue, null, for_claim, by_worker, lease, known_kinds, known_versions,
                          case when many then 1 else room end, moment) as t;
        lane := '';
        if took > 0 then
            claimed := claimed + took;
            room := room - took;
            control.last_turn := lane;
            mark := lane;
            wrapped := false;
        elsif more then
            mark := lane;
            wrapped := false;
        else
            -- Also if this was the last step: the caller would walk round and round otherwise.
            exit when wrapped or mark = '';
            wrapped := true;
        end if;
        if steps <= 0 then
            walk_at := lane;
            walk_mark := mark;
            walk_wrapped := wrapped;
            done := true;
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
       and (many or exists (select from jobs j where j.queue = of_queue and j.state = 'ready' and j.fair_key is null and j.priority > -32768)) then
        perform queue_wake(of_queue);
    end if;
end
$$;

-- For the previous binary, which knows no silence that one message ends: it is over when its minute is.
create or replace function queue_claim(of_queue text, for_claim uuid, by_worker text, lease float8,
                            known_kinds text[], known_versions smallint[], slots integer, freed boolean,
                            queue_rate float8, queue_burst integer, key_rate float8, key_burst integer,
                            out claimed integer, out paused boolean, out next_in float8)
language sql as $$
    select from queue_controls c where c.queue = of_queue for no key update;
    update queue_buckets b set full_at = '-infinity'
     where b.queue = of_queue and b.key = '' and b.full_at = 'infinity' and b.quiet_until <= clock_timestamp();
    select s.claimed, s.paused, s.next_in
      from queue_claim_step(of_queue, for_claim, by_worker, lease, known_kinds, known_versions, slots, freed,
                            queue_rate, queue_burst, key_rate, key_burst, 1000000, null, null, null) as s
$$;
