-- A governed claim finds what lies behind jobs that it cannot take, however many these are, and parks a few jobs a call.
--
-- It looked at the first few jobs of a key (50 without a key) and no further: as many that somebody else had locked, or
-- that waited for a run of their own dedupe key, hid all others of the key for as long. And a call that met unknown jobs
-- parked hundreds of them: 90 ms under the queue's lock, in which nobody else claims.
--
-- Safe with the previous binary: it calls the same function. Locks: none.

-- Claims the first jobs of one key, or of no key, and parks what it meets on the way and does not know. parked: what that
-- cost, counted in keys to walk past. more: it gave up after some parking, and there may be jobs to claim behind.
create or replace function queue_take(of_queue text, lane text, for_claim uuid, by_worker text, lease float8,
                           known_kinds text[], known_versions smallint[], wanted integer, moment timestamptz,
                           out took integer, out parked integer, out more boolean)
language plpgsql as $$
declare
    line    refcursor;
    job     record;
    batch   integer := wanted;  -- how many are tried at once
    fit     bigint[];           -- what may be claimed
    unknown bigint[] := '{}';   -- what may not, since it is not known
    moved   integer;
    at_end  boolean := false;
begin
    took := 0;
    parked := 0;
    more := false;
    if lane is null then
        open line for
            select j.id, coalesce(j.version <= known_versions[array_position(known_kinds, j.kind)], false) as known,
                   j.dedupe_scope is distinct from 'until_started'
                   or not exists (select from jobs r where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                                       and r.dedupe_scope = 'until_started' and r.state = 'running') as free
              from jobs j
             where j.queue = of_queue and j.state = 'ready' and j.fair_key is null and j.priority > -32768
             order by j.priority desc, j.run_at, j.id;
    else
        open line for
            select j.id, coalesce(j.version <= known_versions[array_position(known_kinds, j.kind)], false) as known,
                   j.dedupe_scope is distinct from 'until_started'
                   or not exists (select from jobs r where r.kind = j.kind and r.dedupe_key = j.dedupe_key
                                                       and r.dedupe_scope = 'until_started' and r.state = 'running') as free
              from jobs j
             where j.queue = of_queue and j.state = 'ready' and j.fair_key = lane
             order by j.priority desc, j.run_at, j.id;
    end if;
    loop
        fit := '{}';
        while cardinality(fit) < batch and cardinality(unknown) < 20 loop
            fetch line into job;
            at_end := not found;
            exit when at_end;
            if not job.known then
                unknown := unknown || job.id;
            elsif job.free then
                fit := fit || job.id;
            end if;
        end loop;
        if fit <> '{}' then
            -- Somebody else may have any of them locked, or have claimed it since.
            update jobs
               set state = 'running', attempt = attempt + 1, claim_id = for_claim, worker = by_worker, prefetched = false,
                   claimed_at = moment, lease_until = moment + make_interval(secs => lease)
             where id = any (array (select j.id from jobs j where j.id = any (fit) and j.state = 'ready'
                                     order by j.priority desc, j.run_at, j.id
                                     limit wanted - took
                                       for update of j skip locked));
            get diagnostics moved = row_count;
            took := took + moved;
            batch := least(2 * batch, 1000);
        end if;
        if unknown <> '{}' and (at_end or took >= wanted or cardinality(unknown) >= 20) then
            -- Those that somebody else has locked stay where they are.
            parked := parked + queue_park(unknown);
            unknown := '{}';
        end if;
        exit when at_end or took >= wanted or parked >= 20;
    end loop;
    close line;
    more := took < wanted and not at_end;
    -- To park a job takes as long as to walk past so many keys.
    parked := parked * 25;
end
$$;
